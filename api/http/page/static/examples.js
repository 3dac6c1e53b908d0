// One worked example for each line of business, in both languages. Legal and technical texts are of data/corpus.

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
        "Manufacturing services agreement, clause 17: Force majeure: 17.1 Neither party is in breach for a failure caused by an event that it could not reasonably have foreseen or overcome, including flood, epidemic, embargo, war, and the general failure of public power or communication networks.",
        "Agreed damages and the court's power to reduce them: May a court cut a sum that two experienced businesses have freely agreed? Article 118 of the Model Commercial Code says yes, but only on the debtor's application and only where the sum is grossly out of proportion to the loss.",
        "Surprising terms in standard forms: what the counterparty need not expect: Control of standard terms begins before fairness is examined. A term so unusual that the other side need not reckon with it never becomes part of the contract, whether or not it would be fair.",
        "Development contract, clause 10: Rights in the deliverables: 10.1 On full payment of each milestone the Contractor transfers to the Client all transferable rights in the Deliverables produced for that milestone, including source code, documentation and test data;",
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
      "query": "Customer tapped pay again on a bad connection and was charged twice; how do we prevent it on the server?",
      "instruction": {
        "name": "builtin/technical-evaluation"
      },
      "documents": [
        "Runbook: restore the orders database to a point in time: Use this when data was destroyed by a faulty release or an operator, and the moment of damage is known to the minute.",
        "Nightly logical dump with a restore test: A dump that has never been restored is only a hope. This script dumps, restores into a scratch database, compares the count of one key table, then rotates.",
        "HTTP client that backs off when the server says no: Full-jitter exponential backoff for outgoing calls. It honours Retry-After on 429 and 503, and retries only methods that are safe to repeat.",
        "Search 800,000 vectors by brute force: The knowledge base holds 800,000 passages with 768-dimensional embeddings. We propose not to build an approximate index. In half precision the matrix is 1.2 GB and fits in the memory of one ordinary server;",
        "Idempotency keys for the payment API: Mobile clients retry when the network drops after we charged the card but before they saw the answer; last month 212 customers were charged twice."
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
      "query": "dense retrieval with hard negatives",
      "instruction": {
        "name": "builtin/paper-recommendation",
        "variables": {
          "since": 2023
        }
      },
      "documents": [
        "A survey of web page layout (2009). Cited 12 times. Mentions retrieval in passing.",
        "We apply an existing dense retriever to recipes (2016). Cited 3 times.",
        "Mining hard negatives for dense retrieval (2024). We present a sampling method that raises nDCG@10 by 4 points. Cited 850 times.",
        "Early notes on term weighting for retrieval (1998). Cited 40 times.",
        "Contrastive training of dense retrievers with denoised hard negatives (2023). Cited 1,200 times."
      ]
    },
    "zh": {
      "title": "论文推荐：高引用且近期",
      "query": "使用难负例的稠密检索",
      "instruction": {
        "name": "builtin/paper-recommendation-zh",
        "variables": {
          "since": 2023
        }
      },
      "documents": [
        "网页版面综述（2009）。被引 12 次。文中顺带提到检索。",
        "把现有的稠密检索器用于菜谱（2016）。被引 3 次。",
        "面向稠密检索的难负例挖掘（2024）。提出一种采样方法，nDCG@10 提高 4 个点。被引 850 次。",
        "检索词加权的早期笔记（1998）。被引 40 次。",
        "用去噪难负例对比训练稠密检索器（2023）。被引 1200 次。"
      ]
    }
  },
  {
    "en": {
      "title": "Support: English answers first",
      "query": "How do I reset my password?",
      "instruction": {
        "name": "builtin/support-language-first",
        "variables": {
          "language": "English"
        }
      },
      "documents": [
        "重置密码：打开登录页，点击“忘记密码”，按邮件中的链接设置新密码。",
        "如何修改头像：进入个人资料，点击头像并上传图片。",
        "Change your profile picture: open your profile, choose the picture and upload a file.",
        "Reset your password: open the sign-in page, choose “Forgot password” and follow the link in the e-mail.",
        "忘记密码怎么办：联系客服并提供注册邮箱，我们会发送重置链接。"
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
        "Change your profile picture: open your profile, choose the picture and upload a file.",
        "如何修改头像：进入个人资料，点击头像并上传图片。",
        "I forgot my password: contact support with your registered address, and we send you a link to reset it.",
        "重置密码：打开登录页，点击“忘记密码”，按邮件中的链接设置新密码。"
      ]
    }
  }
];
