// One worked example for each line of business, in both languages. Under its instruction, each has another order than
// without one: tests/acceptance/test_page_examples.py holds that with the default models.

export const EXAMPLES = [
  {
    "en": {
      "title": "Legal: articles of the code first",
      "query": "Is a scanned signature valid?",
      "instruction": {
        "name": "builtin/legal-statutes",
        "variables": {
          "code": "the Model Commercial Code"
        }
      },
      "documents": [
        "Office newsletter. Is a scanned signature valid? Colleagues keep asking; we will answer in the next issue.",
        "Scanner on floor two: ask the help desk for the code.",
        "Sales contract, clause 21. A scanned signature is valid between the parties if it is sent by e-mail.",
        "Commentary. A scanned signature is valid in daily business: most companies exchange scans, and few have ever been challenged.",
        "Model Commercial Code, Article 88. A scanned signature is valid unless a statute or the parties require an original."
      ]
    },
    "zh": {
      "title": "法律：法典条文优先",
      "query": "原材料涨价，可以要求变更合同价格吗？",
      "instruction": {
        "name": "builtin/legal-statutes-zh",
        "variables": {
          "code": "商事法典"
        }
      },
      "documents": [
        "律所简讯：原材料涨价，可以要求变更合同价格吗？下期解答。",
        "仓库通知：本周五盘点。",
        "供货合同第五条：原材料涨价的，双方可以协商变更合同价格。",
        "评注：原材料涨价时，当事人可以要求变更合同价格，实务中却很少成功。",
        "示范商事法典第一百三十三条：原材料涨价使履行明显不公平的，当事人可以请求变更合同价格。"
      ]
    }
  },
  {
    "en": {
      "title": "Technical evaluation: effort and maturity",
      "query": "adopting the new vector database",
      "instruction": {
        "name": "builtin/technical-evaluation"
      },
      "documents": [
        "This spring the new vector database got a new logo.",
        "The canteen is closed on Friday.",
        "A course on databases begins on Monday in room twelve.",
        "Everybody loves the new vector database: simply brilliant!",
        "How complex it is to implement the vector database: two engineers, six weeks of migration, four dependencies."
      ]
    },
    "zh": {
      "title": "技术评估：复杂度与成熟度",
      "query": "采用新的向量数据库",
      "instruction": {
        "name": "builtin/technical-evaluation-zh"
      },
      "documents": [
        "新的向量数据库换了标志，该不该喜欢？",
        "食堂周五不开门。",
        "采用新的向量数据库，人人称赞。",
        "采用新的向量数据库？大家投票。",
        "新的向量数据库的生产使用情况：12 个站点，一次停机，已知限制三项。"
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
        "训练稠密检索器：培训班照片（2015）。",
        "训练稠密检索器时用过的菜谱网站（2016），被引 3 次。",
        "论文：训练稠密检索器（2012），被引 2 次。",
        "论文（2023），被引 1200 次：训练稠密检索器的新方法，在 14 个数据集上给出结果。",
        "被广泛引用的论文（2024），训练稠密检索器的方法和结果。"
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
