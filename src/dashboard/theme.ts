import { effect, signal } from "@preact/signals";

/** The system's colours until the user chooses others. */
export type Theme = "system" | "light" | "dark";

const STORED_AS = "sluice.theme";
const THEMES: readonly Theme[] = ["system", "light", "dark"];

export const theme = signal<Theme>(THEMES.find((t) => t === localStorage.getItem(STORED_AS)) ?? "system");

effect(() => {
  document.documentElement.dataset.theme = theme.value;
  localStorage.setItem(STORED_AS, theme.value);
});

export function nextTheme(): void {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? "system";
}

/** Whether dark colours are shown now: for what is drawn on a canvas. */
export const isDark = (): boolean =>
  theme.value === "dark" || (theme.value === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
