"""Prompt templates of published causal rerankers that are not asked like Qwen3-Reranker.

An entry stands here only if its form was read in the model's own code or in vLLM's template for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from winnow.rerank.prompt import PREFIX
from winnow.retrieval.model.prompt_template import PromptTemplate

# modeling_zeranker.py of zeroentropy/zerank-1-small: the query is the system turn, the document the user turn, and the
# score sigmoid(logit of "Yes" / 5).
_ZERANK_PLAIN: Final = (
    "<|im_start|>system\n{query}<|im_end|>\n<|im_start|>user\n{document}<|im_end|>\n<|im_start|>assistant\n"
)
_ZERANK_1: Final = PromptTemplate(text=_ZERANK_PLAIN, yes="Yes", divide=5.0)

# vLLM, examples/pooling/score/template/zerank2.jinja and its test of zerank-2: as zerank-1, and an instruction is
# written behind the query.
_ZERANK_2: Final = PromptTemplate(
    text="<|im_start|>system\n<query>{query}</query>\n<instruction>{instruction}</instruction><|im_end|>\n"
    "<|im_start|>user\n{document}<|im_end|>\n<|im_start|>assistant\n",
    plain=_ZERANK_PLAIN,
    yes="Yes",
    divide=5.0,
)

# vLLM, examples/pooling/score/template/qwen3_vl_reranker.jinja; text only.
_QWEN3_VL: Final = PromptTemplate(
    text=f"{PREFIX}<Instruct>: {{instruction}}<Query>:{{query}}\n<Document>:{{document}}<|im_end|>\n"
    "<|im_start|>assistant\n",
    yes="yes",
    no="no",
)

# vLLM, examples/pooling/score/template/mxbai_rerank_v2.jinja; classes 0 and 1 in its conversion (pull request 19675).
_MXBAI_2: Final = PromptTemplate(
    text="<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\nquery: {query}\ndocument: {document}\nYou are a search relevance expert who evaluates how well "
    "documents match search queries. For each query-document pair, carefully analyze the semantic relationship "
    "between them, then provide your binary relevance judgment (0 for not relevant, 1 for relevant).\n"
    "Relevance:<|im_end|>\n<|im_start|>assistant\n",
    yes="1",
    no="0",
)

KNOWN_TEMPLATES: Final[Mapping[str, PromptTemplate]] = {
    "zeroentropy/zerank-1": _ZERANK_1,
    "zeroentropy/zerank-1-small": _ZERANK_1,
    "zeroentropy/zerank-1-reranker": _ZERANK_1,
    "zeroentropy/zerank-1-small-reranker": _ZERANK_1,
    "zeroentropy/zerank-2": _ZERANK_2,
    "zeroentropy/zerank-2-reranker": _ZERANK_2,
    "Qwen/Qwen3-VL-Reranker-2B": _QWEN3_VL,
    "Qwen/Qwen3-VL-Reranker-8B": _QWEN3_VL,
    "mixedbread-ai/mxbai-rerank-base-v2": _MXBAI_2,
    "mixedbread-ai/mxbai-rerank-large-v2": _MXBAI_2,
}
