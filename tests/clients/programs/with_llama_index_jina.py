"""llama-index-postprocessor-jinaai-rerank: its node postprocessor."""

from __future__ import annotations

from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.jinaai_rerank import JinaRerank
from told import NO_NULLS, Wish, route, tell


def rerank(wish: Wish) -> list[str]:
    nodes = [NodeWithScore(node=TextNode(id_=name, text=text)) for name, text in wish.documents.items()]
    processor = JinaRerank(model=wish.model, top_n=3, api_key=wish.key, base_url=f"{wish.url}/v1")
    return [each.node.node_id for each in processor.postprocess_nodes(nodes, query_str=wish.query)]


if __name__ == "__main__":
    tell(
        "llama-index-postprocessor-jinaai-rerank",
        route("POST /v1/rerank", "rerank", rerank, by_model=True, skipped={"null fields": NO_NULLS}),
    )
