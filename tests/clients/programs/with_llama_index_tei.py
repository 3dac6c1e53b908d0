"""llama-index-postprocessor-tei-rerank: its node postprocessor."""

from __future__ import annotations

from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference
from told import NO_NULLS, Wish, route, tell


def rerank(wish: Wish) -> list[str]:
    nodes = [NodeWithScore(node=TextNode(id_=name, text=text)) for name, text in wish.documents.items()]
    processor = TextEmbeddingInference(base_url=wish.url, top_n=3, auth_token=f"Bearer {wish.key}")
    query = "" if wish.is_invalid else wish.query
    return [each.node.node_id for each in processor.postprocess_nodes(nodes, query_str=query)]


if __name__ == "__main__":
    tell(
        "llama-index-postprocessor-tei-rerank",
        route(
            "POST /rerank",
            "rerank",
            rerank,
            skipped={
                "null fields": NO_NULLS,
                "instruction": "the client sends neither a model nor other fields",
            },
            notes={
                "success": '`auth_token="Bearer KEY"`',
                **dict.fromkeys(("401", "404", "422", "429", "503"), "the client does not look at the status"),
            },
        ),
    )
