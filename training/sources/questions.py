"""Makes questions from headings, in the forms in which people ask, in English and in Chinese.

The form is chosen by a hash of the heading, so a source always gives the same questions.
"""

import random
import re
import zlib

from training.sources.sample import CHINESE

_EMPTY = re.compile(
    r"^(introduction|overview|summary|notes?|see also|examples?|usage|description|references?|conclusion|"
    r"background|contents?|motivation|details?|parameters?|options?|syntax|links?|resources?|next steps?|"
    r"what'?s next|contributing|drawbacks|alternatives|rationale|(rationale and|other) alternatives|"
    r"specification|abstract|unresolved questions|open issues|prior art|future possibilities|"
    r"(guide|reference)-level explanation|detailed design|copyright|backwards compatibility|"
    r"(short |long )?description|how to teach this|implementation|goals|non-goals|user stories.*|"
    r"risks and mitigations|proposal|test plan|scalability|troubleshooting|dependencies|attributes|properties|"
    r"methods|events|before you begin|faq|props|changelog|license|acknowledge?ments?|remarks|inputs|outputs|"
    r"related links|prerequisites|feedback|api|简介|概述|总结|小结|示例|例子|参考|参考资料|参考文献|说明|背景|"
    r"注意|注意事项|参数|相关链接|前提条件|下一步|何时使用|代码演示|语法|语法图|另请参阅|目录|前言|引言|练习|"
    r"exercises|discussions?)$",
    re.IGNORECASE,
)
_QUESTION_EN = re.compile(r"^(what|why|how|when|where|which|who|can|could|do|does|is|are|should|will)\b", re.IGNORECASE)
_QUESTION_ZH = re.compile(r"什么|如何|怎么|怎样|为什么|为何|哪|吗|是否|能否|多少|几|？|\?")
_DOING = re.compile(r"^([a-z]+)ing\s+(.+)$", re.IGNORECASE)
_SILENT_E = re.compile(
    r"(^(us|mak|tak|writ|clos|typ|not|(re)?nam|cach|creat|serv|stor|shar|prepar|compar|compil|requir|wir|fir|issu|purg)"
    r"|iz|[bcdfgkpt]l|ul|fil|al(?<=cal)|[^eo]at|c|(?<!lo)(?<!n)g|ur|ad(?<=grad)|let|un(?<=tun)|ng(?<=chang)|v|ov|id|ud|od(?<=cod)|ut(?<=[ck]ut)|in(?<=fin|bin)|mov|par|os(?<=pos)|es(?<=rs))$"
)
_VERBS_EN = re.compile(
    r"^(add|use|create|build|run|set|configure|install|write|read|update|delete|remove|enable|disable|deploy|test|"
    r"migrate|check|connect|define|get|handle|manage|monitor|import|export|upgrade|view|find|make|load|choose|start|"
    r"stop|debug|fix|avoid|convert|change|customi[sz]e|send|share|pass|render|call|access|"
    r"query|restore|back up)\b(?!-)",
    re.IGNORECASE,
)
_VERBS_ZH = re.compile(
    r"^(使用|创建|配置|安装|部署|设置|添加|删除|更新|升级|查看|启动|停止|编写|修改|管理|导入|导出|迁移|连接|定义|获取|运行|"
    r"构建|测试|调试|优化|监控|启用|禁用|查询|处理|选择|开发|备份|恢复|实现|调用|扩容|缩容|排查|解决)"
)
_THING_EN = [
    "what is {h}", "What is {h}?", "{h} explained", "explain {h}", "{h} in {p}", "{p} {h}", "{h} meaning and usage",
    "tell me about {h} in {p}", "What does {p} say about {h}?", "where can I read about {h}", "{h}", "{h} {t}",
    "I need information on {h}", "how does {h} work in {p}", "help me understand {h}", "{p}: {h}?",
]  # fmt: skip
_DOING_EN = [
    "how to {h}", "How do I {h} in {p}?", "how can I {h}", "steps to {h}", "{p} {h}", "What is the right way to {h}?",
    "best way to {h} with {p}", "{h} {p} guide", "I want to {h}, what should I do?", "{h}", "can {p} {h}",
    "instructions to {h}", "trying to {h} in {p} but not sure how", "Is there a way to {h}?",
]  # fmt: skip
_THING_ZH = [
    "什么是{h}", "{h}是什么", "{h}是什么意思？", "介绍一下{h}", "{p} {h}", "{p}中的{h}", "{h}有什么用",
    "请解释{h}", "{h}", "{p}的{h}怎么理解", "关于{h}的说明", "想了解{h}", "{h} {t}", "{h}的相关内容在哪里",
    "谁能讲讲{h}", "{p}里{h}是怎么回事？",
]  # fmt: skip
_DOING_ZH = [
    "如何{h}", "怎么{h}", "{p}怎么{h}？", "{h}的步骤", "{h}的方法", "{p} {h}", "我想{h}，应该怎么做？",
    "怎样在{p}中{h}", "{h}", "{h}要注意什么", "在{p}里{h}该怎么弄", "请问如何{h}？", "{h} 教程",
]  # fmt: skip
_LONG_EN = [
    "I am working with {p} and reading about {t}. I would like to know more about {h}: {s}",
    "Our team uses {p}. {s} Where is this described, and what should we know about {h}?",
    "{s} I could not find the part on {h} that explains this.",
    "Please find the section on {h} ({t}) that covers the following point. {s}",
]  # fmt: skip
_LONG_ZH = [
    "我在用{p}，正在看{t}这部分。想进一步了解{h}：{s}",
    "{s}请问这个在{p}的哪里有说明？和{h}有关。",
    "请帮我找讲{h}的那一节，里面提到：{s}",
    "我们团队在使用{p}，遇到了与{h}有关的问题。{s}应该看哪一部分？",
]


def drawn(key: str) -> random.Random:
    return random.Random(zlib.crc32(key.encode()))


def asks_something(heading: str) -> bool:
    if CHINESE.search(heading):
        return 2 <= len(heading) <= 60 and not _EMPTY.match(heading)
    words = heading.split()
    return 1 <= len(words) <= 18 and 3 <= len(heading) <= 120 and not _EMPTY.match(heading)


def _base_form(stem: str) -> str:
    """The verb of an -ing form: "runn" is run, "creat" is create. Rarely wrong, and still readable then."""
    if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "slfz":
        return stem[:-1]
    return stem + "e" if _SILENT_E.search(stem) else stem


def from_heading(heading: str, page: str, product: str, key: str) -> str | None:
    """What a person looking for this section might type; None if the heading says too little."""
    rng = drawn(key)
    topic = heading
    if not asks_something(heading):
        if not page or page == heading or not asks_something(page):
            return None
        topic = f"{page}{heading}" if CHINESE.search(heading) else f"{page} {heading.lower()}"
    if CHINESE.search(topic):
        if _QUESTION_ZH.search(topic):
            return topic
        forms = _DOING_ZH if _VERBS_ZH.match(topic) else _THING_ZH
        return rng.choice(forms).format(h=topic, p=product, t=page)
    if topic.endswith("?") or _QUESTION_EN.match(topic):
        return rng.choice([topic, topic, topic.lower().rstrip("?"), f"{product} {topic.lower()}"])
    found = _DOING.match(topic)
    if found and len(found[1]) > 2 and " " in topic:
        topic = f"{_base_form(found[1].lower())} {found[2]}"
        forms = _DOING_EN
    elif _VERBS_EN.match(topic) and " " in topic:
        topic = topic[:1].lower() + topic[1:]
        forms = _DOING_EN
    else:
        topic = topic if re.search(r"[A-Z]{2}|[A-Z]\w*[A-Z]|`", topic) else topic.lower()
        forms = _THING_EN
    return " ".join(rng.choice(forms).format(h=topic, p=product, t=page).split())


def long_form(heading: str, page: str, product: str, sentence: str, key: str) -> str:
    """A query of a few lines: the asker's situation, what is wanted, and a sentence on the topic."""
    forms = _LONG_ZH if CHINESE.search(heading + sentence) else _LONG_EN
    return drawn(key).choice(forms).format(h=heading or page, t=page or heading, p=product, s=sentence)
