// The words of the tab "Watch".

export const WORDS = {
  en: { tab: { watch: "Watch" }, watch: {
  } },
  zh: { tab: { watch: "监测" }, watch: {
  } },
};
