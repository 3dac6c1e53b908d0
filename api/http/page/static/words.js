// Every word of the page, in both languages. `{name}` stands for a value.

export const WORDS = {
  en: {
    tagline: "Search and rerank under your own instruction",
    key: "API key", keyHint: "optional on this machine",
    otherLanguage: "中文", otherTheme: "Light / dark", docs: "API documentation",
    tab: { rerank: "Rerank", search: "Search" },
    examples: "Try an example:", query: "Query", documents: "Documents",
    documentsHelp: "One per line, a JSON list, or one JSON object with “text” per line. {count} documents.",
    file: "Read .txt, .csv or .jsonl",
    fileKind: "{detail} is not a .txt, .csv or .jsonl file.", fileSize: "{detail} is larger than 8 MB. Split it.",
    fileEncoding: "{detail} is not a text in UTF-8. Save it as UTF-8, then read it again.",
    fileEmpty: "{detail} holds no documents.",
    fileMany: "The file holds {detail} documents; at most 1,000 can be reranked at once. Split it.",
    csvColumn: "The CSV file needs a column named “text”. Its columns are: {detail}.",
    csvQuote: "The quote that opens in line {detail} of the CSV file is never closed.",
    instruction: "Instruction", ownText: "My own text", noInstruction: "None: the default",
    instructionText: "What counts as relevant?", instructionReads: "The reranker reads:",
    ownGroup: "Own instructions", builtInGroup: "Built-in instructions",
    rerank: "Rerank", reranking: "Reranking …", search: "Search", searching: "Searching …",
    showRequest: "Show the request", copy: "Copy", copied: "Copied",
    rank: "Rank", movement: "Moved", score: "Score", document: "Document",
    up: "up {count}", down: "down {count}", same: "same place",
    given: "given as {place}", cut: "cut: the reranker read only the beginning",
    rerankEmpty: "The new order appears here. Choose an example, or enter a query and documents.",
    rerankSummary: "{count} documents in {ms} ms · {tokens} tokens · reranked by {model}",
    notApplied: "The reranker {model} reads no instruction: it had no effect on this order.",
    more: "Show all {count}",
    collection: "Collection", recall: "Recall", asConfigured: "As configured", hybrid: "Hybrid: meaning and words",
    dense: "Dense: by meaning", lexical: "Lexical: by words", candidates: "Candidates",
    rerankWhen: "Reranker", rerankAlways: "Always", rerankAuto: "Where it helps", rerankNever: "Off",
    options: "Options", results: "Results", depth: "Depth", depthFull: "Full: all candidates", depthAdaptive: "Adaptive: stop early",
    filter: "Filter", filterJson: "Filter as JSON", filterBuilder: "Conditions", filterNone: "none", filterOwn: "JSON",
    filterAdd: "Add a condition", filterRemove: "Remove the condition on {key}", filterKey: "Attribute",
    filterOperator: "Comparison", filterValue: "Value", filterList: "a, b, c",
    filterJoin: "A document matches", filterAnd: "all conditions", filterOr: "any condition",
    filterNested: "The conditions cannot show this filter. Edit the JSON.",
    noAttributes: "This collection has no known attributes. Enter JSON, or choose another collection.",
    operator: { eq: "is", ne: "is not", gt: "greater than", gte: "at least", lt: "less than", lte: "at most",
                in: "is one of", nin: "is none of", absent: "is absent", present: "is present" },
    type: { boolean: "yes/no", number: "number", text: "text", "list of texts": "list" },
    searchEmpty: "Both orders appear here: as recall found the passages, and as the reranker ranks them.",
    recallOrder: "Recall’s order", finalOrder: "Final order", reranked: "Reranked order",
    similarity: "similarity", relevance: "relevance", notReranked: "not reranked",
    nothing: "Nothing found. Change the query or the filter.",
    searchSummary: "{count} passages from {collection} · {mode} recall · ordered by {by} · {model}",
    stage: { embed: "Embed", recall: "Recall", fetch: "Fetch", rerank: "Rerank" }, total: "Total", notRun: "not run",
    degraded: "The reranker did not answer ({reason}). These passages are in recall’s order and have no relevance score.",
    reason: { timeout: "it took too long", overloaded: "it is overloaded", unavailable: "it is unavailable",
              breaker_open: "it failed repeatedly and is not asked for a while" },
    skipped: { not_requested: "The reranker is off: both columns show recall’s order.",
               no_weight: "The reranker did not run: relevance has no weight in its order under this instruction. Choose “Always”, or enter an instruction.",
               no_candidates: "Recall found nothing to rerank." },
    thumbUp: "Relevant: {title}", thumbDown: "Not relevant: {title}",
    openDocument: "Open the document {title}", close: "Close", hit: "Hit", neighbour: "Passages next to it",
    section: "section", where: "place",
    place: { page: "page {first}", slide: "slide {first}", sheet: "sheet {first}", cell: "cell {first}", row: "row {first}",
             rows: "rows {first}-{last}", line: "line {first}", lines: "lines {first}-{last}", joint: ", " },
    passage: "passage", earlier: "Show earlier text", later: "Show later text",
    notJson: "This is not valid JSON: {detail}", notJsonLine: "This line is not valid JSON: line {detail}",
    notDocument: "Document {detail} must be a text or an object with “text”.",
    keyCharacters: "A key has only ASCII characters. Copy it again.",
    gone: "The service does not answer. Check that it runs, then try again. ({detail})",
    notReadable: "The service answered {status} in a form that this page cannot read.",
  },
  zh: {
    tagline: "按你自己的指令检索与重排",
    key: "API 密钥", keyHint: "本机使用可不填",
    otherLanguage: "English", otherTheme: "浅色 / 深色", docs: "接口文档",
    tab: { rerank: "重排", search: "检索" },
    examples: "试试示例：", query: "查询", documents: "文档",
    documentsHelp: "每行一篇，或一个 JSON 列表，或每行一个带“text”的 JSON 对象。共 {count} 篇。",
    file: "读取 .txt、.csv 或 .jsonl",
    fileKind: "{detail} 不是 .txt、.csv 或 .jsonl 文件。", fileSize: "{detail} 超过 8 MB，请拆分。",
    fileEncoding: "{detail} 不是 UTF-8 文本。请存为 UTF-8 后重新读取。",
    fileEmpty: "{detail} 中没有文档。",
    fileMany: "文件中有 {detail} 篇文档，一次最多重排 1,000 篇。请拆分。",
    csvColumn: "CSV 文件需要名为“text”的列。现有的列：{detail}。",
    csvQuote: "CSV 文件第 {detail} 行的引号没有闭合。",
    instruction: "指令", ownText: "自己填写", noInstruction: "不填：使用默认指令",
    instructionText: "怎样才算相关？", instructionReads: "重排器读到的指令：",
    ownGroup: "自己的指令", builtInGroup: "内置指令",
    rerank: "重排", reranking: "正在重排…", search: "检索", searching: "正在检索…",
    showRequest: "查看请求", copy: "复制", copied: "已复制",
    rank: "名次", movement: "变动", score: "得分", document: "文档",
    up: "上升 {count}", down: "下降 {count}", same: "不变",
    given: "原第 {place} 位", cut: "已截断：重排器只读了开头",
    rerankEmpty: "新的顺序会显示在这里。请选择一个示例，或填写查询和文档。",
    rerankSummary: "{count} 篇文档，用时 {ms} 毫秒 · {tokens} 个 token · 重排器 {model}",
    notApplied: "重排器 {model} 不读指令：指令对该顺序没有影响。",
    more: "显示全部 {count} 条",
    collection: "集合", recall: "召回方式", asConfigured: "按服务配置", hybrid: "混合：语义加关键词",
    dense: "语义召回", lexical: "关键词召回", candidates: "候选数",
    rerankWhen: "重排器", rerankAlways: "总是运行", rerankAuto: "有帮助时运行", rerankNever: "关闭",
    options: "选项", results: "结果数", depth: "深度", depthFull: "完整：全部候选", depthAdaptive: "自适应：提前停止",
    filter: "过滤条件", filterJson: "JSON 形式", filterBuilder: "条件", filterNone: "无", filterOwn: "JSON",
    filterAdd: "添加条件", filterRemove: "删除条件 {key}", filterKey: "属性",
    filterOperator: "比较方式", filterValue: "值", filterList: "甲, 乙, 丙",
    filterJoin: "文档须满足", filterAnd: "全部条件", filterOr: "任一条件",
    filterNested: "条件列表无法显示此过滤条件，请直接编辑 JSON。",
    noAttributes: "该集合没有已知属性。请填写 JSON，或选择其他集合。",
    operator: { eq: "等于", ne: "不等于", gt: "大于", gte: "不小于", lt: "小于", lte: "不大于",
                in: "属于", nin: "不属于", absent: "没有值", present: "有值" },
    type: { boolean: "是/否", number: "数字", text: "文本", "list of texts": "列表" },
    searchEmpty: "这里并排显示两种顺序：召回的顺序，以及重排后的顺序。",
    recallOrder: "召回顺序", finalOrder: "最终顺序", reranked: "重排后顺序",
    similarity: "相似度", relevance: "相关性", notReranked: "未重排",
    nothing: "没有结果。请修改查询或过滤条件。",
    searchSummary: "来自 {collection} 的 {count} 个文本块 · {mode} 召回 · 排序依据 {by} · {model}",
    stage: { embed: "向量化", recall: "召回", fetch: "取文本", rerank: "重排" }, total: "合计", notRun: "未运行",
    degraded: "重排器没有给出结果（{reason}）。以下文本块按召回顺序排列，没有相关性得分。",
    reason: { timeout: "超时", overloaded: "负载过高", unavailable: "不可用", breaker_open: "连续失败，暂停调用" },
    skipped: { not_requested: "重排器已关闭：两栏都是召回顺序。",
               no_weight: "重排器没有运行：在该指令下，相关性在排序中没有权重。请选择“总是运行”，或填写指令。",
               no_candidates: "召回没有找到可供重排的文本块。" },
    thumbUp: "相关：{title}", thumbDown: "不相关：{title}",
    openDocument: "打开文档 {title}", close: "关闭", hit: "命中", neighbour: "相邻文本块",
    section: "章节", where: "位置",
    place: { page: "第 {first} 页", slide: "第 {first} 张幻灯片", sheet: "工作表 {first}", cell: "第 {first} 个单元格", row: "第 {first} 行",
             rows: "第 {first}-{last} 行", line: "第 {first} 行", lines: "第 {first}-{last} 行", joint: "，" },
    passage: "文本块", earlier: "显示前文", later: "显示后文",
    notJson: "不是有效的 JSON：{detail}", notJsonLine: "这一行不是有效的 JSON：第 {detail} 行",
    notDocument: "第 {detail} 篇文档必须是文本，或带“text”的对象。",
    keyCharacters: "密钥只含 ASCII 字符。请重新复制。",
    gone: "服务没有响应。请确认服务正在运行，然后重试。（{detail}）",
    notReadable: "服务返回了 {status}，但本页读不懂其内容。",
  },
};

let language = globalThis.document?.documentElement.dataset.language ?? "en"; // of the service: Gradio writes `lang`

export function currentLanguage() {
  return language;
}

export function switchLanguage() {
  language = language === "en" ? "zh" : "en";
}

/** Add the words of a tab, in the shape of WORDS. */
export function addWords(more) {
  for (const [each, words] of Object.entries(more)) {
    for (const [key, word] of Object.entries(words)) {
      WORDS[each][key] = typeof word === "string" ? word : { ...WORDS[each][key], ...word };
    }
  }
}

/** The text of a key such as `reason.timeout`, with its values filled in. */
export function say(key, values = {}) {
  const text = key.split(".").reduce((found, part) => found?.[part], WORDS[language]) ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}
