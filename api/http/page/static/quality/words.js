// The words of the tab "Quality".

export const WORDS = {
  en: { tab: { quality: "Quality" }, quality: {
  } },
  zh: { tab: { quality: "质量" }, quality: {
  } },
};
