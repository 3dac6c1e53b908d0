// The words of the tab "Watch".

export const WORDS = {
  en: { tab: { watch: "Watch" }, watch: {
    title: "Ranking stability", empty: "No stability reports yet: this service does not record rankings over time.",
    meanwhile: "Until it does, two things show whether an order moved:",
    shadow: "A shadow compares two versions of an instruction on real searches. Start one in the tab Instructions.",
    gate: "This command fails a build if a measure fell by more than the bound:",
  } },
  zh: { tab: { watch: "监测" }, watch: {
    title: "排序稳定性", empty: "还没有稳定性报告：本服务不记录排序随时间的变化。",
    meanwhile: "在此之前，有两种办法可以看出顺序是否改变：",
    shadow: "影子运行用真实检索对比一条指令的两个版本。请在“指令”页开始。",
    gate: "如果某个指标下降超过界限，下面的命令会让构建失败：",
  } },
};
