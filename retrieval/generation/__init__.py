"""Which published index serves? Its manifest, how it is published, opened, listed and cleaned up."""
