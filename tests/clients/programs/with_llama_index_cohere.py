"""llama-index-postprocessor-cohere-rerank: its node postprocessor."""

from __future__ import annotations

from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.cohere_rerank import CohereRerank
from told import NO_NULLS, Wish, route, tell


def rerank(wish: Wish) -> list[str]:
    nodes = [NodeWithScore(node=TextNode(id_=name, text=text)) for name, text in wish.documents.items()]
    processor = CohereRerank(model=wish.model, top_n=3, api_key=wish.key, base_url=wish.url, max_retries=1)
    return [each.node.node_id for each in processor.postprocess_nodes(nodes, query_str=wish.query)]


if __name__ == "__main__":
    tell(
        "llama-index-postprocessor-cohere-rerank",
        route(
            "POST /v2/rerank",
            "rerank",
            rerank,
            by_model=True,
            skipped={"null fields": NO_NULLS},
            notes={"503": "by default tries ten times; shown with `max_retries=1`"},
        ),
    )
