"""How does the catalog keep its rows? SQLAlchemy and Alembic are named here only."""
