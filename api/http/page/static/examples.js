// One worked example for each line of business, in both languages. Under its instruction, each has another order than
// without one: tests/acceptance/test_page_examples.py holds that with the default models.

export const EXAMPLES = [
  {
    "en": {
      "title": "Legal: articles of the code first",
      "query": "scanned signature valid?",
      "instruction": {
        "name": "builtin/legal-statutes",
        "variables": {
          "code": "the Model Commercial Code"
        }
      },
      "documents": [
        "Office newsletter: is a scanned signature valid? Colleagues keep asking; we will answer in the next issue.",
        "Scanned signatures: ask the help desk for the scanner on floor two.",
        "Sales contract, clause 21: Signatures: 21.1 Copies signed by hand and scanned may be exchanged by e-mail.",
        "Commentary: scanned signatures in daily business. Most companies exchange scans, and few have ever been challenged.",
        "Model Commercial Code, Article 88: Electronic form and electronic signatures: (1) Where written form is required, it may be replaced by electronic form, unless a statute or the parties exclude this."
      ]
    },
    "zh": {
      "title": "法律：法典条文优先",
      "query": "原材料暴涨，按原价供货就亏本，能要求改价吗",
      "instruction": {
        "name": "builtin/legal-statutes-zh",
        "variables": {
          "code": "商事法典"
        }
      },
      "documents": [
        "商品房装修合同 第十一条 工期延误：11.1 工期为九十个日历日，自双方签署开工单之日起算。11.2 因施工方人手不足、材料采购不及时等原因延误的，每延误一日，施工方向业主支付一百元，但不超过合同总价的百分之三。11.3 因业主变更设计、自购材料未到、物业限制施工时间而延误的，工期顺延，业主不得扣款；",
        "原料供应框架协议 第五条 价格调整：5.1 合同单价以签约当月的公开铜价月均值为基准。",
        "违约金过高，谁来举证：实务中最常见的抗辩就是“违约金太高了”。按照法典第一百一十八条，提出减少的是债务人，因此首先应由债务人说明为什么过高，例如提供同期市场价格、替代采购成本等，使法官对约定的合理性产生怀疑。",
        "技术合作协议 第六条 保密：6.1 双方在合作中获得的对方图纸、配方、客户名单、报价以及标注“保密”的其他资料，仅可用于本项目，未经书面同意不得向第三方披露。6.2 接收方应将资料存放于设有访问权限的系统，接触人员须事先登记并签署保密承诺。6.3 口头披露的信息，披露方应在十日内以书面确认，否则不视为保密信息。6.4 保密期限为本协议终止后三年；",
        "示范商事法典 第一百三十二条 不可抗力：因不能预见、不能避免且不能克服的客观情况不能履行合同的，根据该情况的影响，部分或者全部免除责任，但金钱债务除外。当事人迟延履行后发生上述情况的，不免除责任。"
      ]
    }
  },
  {
    "en": {
      "title": "Technical evaluation: effort and maturity",
      "query": "Should we adopt the new vector database?",
      "instruction": {
        "name": "builtin/technical-evaluation"
      },
      "documents": [
        "Everybody loves the new vector database: simply brilliant!",
        "This spring the new vector database got a new logo.",
        "What a vector database is: it stores vectors and finds those that are nearest to a query.",
        "Operation: three nodes, four dependencies, one upgrade per quarter; stable interfaces since version 2.",
        "In production at 12 sites since 2023. Known limits: no joins, backups block writes for four minutes, the interface changed twice.",
        "Migration effort and maturity: two engineers, six weeks, forty million vectors, one outage of twenty minutes; in production since 2023."
      ]
    },
    "zh": {
      "title": "技术评估：复杂度与成熟度",
      "query": "我们该不该采用这个新的向量数据库？",
      "instruction": {
        "name": "builtin/technical-evaluation-zh"
      },
      "documents": [
        "我们激动地宣布推出有史以来最先进的向量数据库。",
        "向量数据库存储向量，并找出与查询最接近的若干条。",
        "迁移由两名工程师用时六周完成：四千万条向量，三次表结构变更，一次二十分钟的停机。",
        "自 2023 年起在 12 个站点投入生产；已知限制：不支持连接，备份时写入阻塞约四分钟，接口变更过两次。",
        "今年春天，该向量数据库更换了标志。"
      ]
    }
  },
  {
    "en": {
      "title": "Papers: cited and recent",
      "query": "training dense retrievers",
      "instruction": {
        "name": "builtin/paper-recommendation",
        "variables": {
          "since": 2023
        }
      },
      "documents": [
        "Photographs from the conference on dense retrieval (2015).",
        "A cooking site with an off-the-shelf dense retriever (2016). Cited 3 times.",
        "We present a sampling method for contrastive training that raises nDCG@10 by 4 points (2024). Cited 850 times.",
        "Contrastive training with denoised passages (2023): a new method, results on 14 datasets. Cited 1,200 times.",
        "Contrastive training of bi-encoders (2024): we present a method and results on 14 datasets. Cited 1,200 times."
      ]
    },
    "zh": {
      "title": "论文推荐：高引用且近期",
      "query": "训练稠密检索器",
      "instruction": {
        "name": "builtin/paper-recommendation-zh",
        "variables": {
          "since": 2023
        }
      },
      "documents": [
        "检索会议的照片（2015），附训练营合影。",
        "使用现成检索器的菜谱网站（2016）。被引 3 次。",
        "向量检索模型（2024）：我们提出一种训练方法，在 14 个数据集上给出结果，被引 900 次。",
        "双塔编码器的对比训练方法（2024）：本文提出一种新方法，被广泛引用，被引 1200 次。",
        "用对比学习训练检索器（2023）：提出新方法，在 14 个数据集上给出结果。被引 1200 次。"
      ]
    }
  },
  {
    "en": {
      "title": "Support: English answers first",
      "query": "怎样重置密码？",
      "instruction": {
        "name": "builtin/support-language-first",
        "variables": {
          "language": "English"
        }
      },
      "documents": [
        "重置密码：打开登录页，点击“忘记密码”，按邮件中的链接设置新密码。",
        "忘记密码怎么办：联系客服并提供注册邮箱，我们会发送重置链接。",
        "如何修改头像：进入个人资料，点击头像并上传图片。",
        "I forgot my password: contact support with your registered address, and we send you a link to reset it.",
        "Reset your password: open the sign-in page, choose “Forgot password” and follow the link in the e-mail."
      ]
    },
    "zh": {
      "title": "客户支持：中文答案优先",
      "query": "How do I reset my password?",
      "instruction": {
        "name": "builtin/support-language-first-zh",
        "variables": {
          "language": "中文"
        }
      },
      "documents": [
        "Reset your password: open the sign-in page, choose “Forgot password” and follow the link in the e-mail.",
        "I forgot my password: contact support with your registered address, and we send you a link to reset it.",
        "Change your profile picture: open your profile, choose the picture and upload a file.",
        "忘记密码怎么办：联系客服并提供注册邮箱，我们会发送重置链接。",
        "重置密码：打开登录页，点击“忘记密码”，按邮件中的链接设置新密码。"
      ]
    }
  }
];
