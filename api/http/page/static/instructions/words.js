// The words of the tab "Instructions".

export const WORDS = {
  en: { tab: { instructions: "Instructions" }, instructions: {
  } },
  zh: { tab: { instructions: "指令" }, instructions: {
  } },
};
