import { useEffect, useRef } from "preact/hooks";
import UPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { theme } from "../theme.ts";

export interface Line {
  label: string;
  /** A CSS variable's name. */
  color: string;
  isDashed?: boolean;
  values: (number | null)[];
}

interface ChartProps {
  label: string;
  /** Unix seconds. */
  at: number[];
  lines: Line[];
  /** A value with its unit. */
  unit: (value: number) => string;
}

const HEIGHT = 196;

/** Lines over time. What they say stands in words beside it. */
export function Chart({ label, at, lines, unit }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot | null>(null);
  const shown = useRef<ChartProps["unit"]>(unit);
  shown.current = unit;
  const names = lines.map((line) => line.label).join();
  const shade = theme.value;
  const data: UPlot.AlignedData = [at, ...lines.map(({ values }) => values)];
  const latest = useRef(data);
  latest.current = data;

  useEffect(() => {
    const parent = box.current;
    if (parent === null) return;
    const draw = (): void => {
      plot.current?.destroy();
      plot.current = new UPlot(
        optionsOf(parent, lines, (v) => shown.current(v)),
        latest.current,
        parent,
      );
    };
    draw();
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    const watch = new ResizeObserver(() => plot.current?.setSize({ width: parent.clientWidth, height: HEIGHT }));
    watch.observe(parent);
    return () => {
      watch.disconnect();
      dark.removeEventListener("change", draw);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [names, shade]);
  useEffect(() => plot.current?.setData(data));

  return <div class="chart-box" ref={box} role="img" aria-label={label} />;
}

function optionsOf(parent: HTMLElement, lines: Line[], unit: (value: number) => string): UPlot.Options {
  const style = getComputedStyle(parent);
  const color = resolver(parent);
  const axis: UPlot.Axis = {
    stroke: color("--quiet"),
    grid: { stroke: color("--line"), width: 1 },
    ticks: { stroke: color("--line"), width: 1, size: 4 },
    font: `12px ${style.fontFamily}`,
  };
  return {
    width: parent.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
    axes: [
      { ...axis, values: "{HH}:{mm}:{ss}" as unknown as UPlot.Axis.Values, space: 80, size: 32 },
      {
        ...axis,
        size: (_, ticks) => 20 + 7 * Math.max(0, ...(ticks ?? []).map((tick) => tick.length)),
        values: (_, ticks) => ticks.map(unit),
      },
    ],
    series: [
      {},
      ...lines.map((line): UPlot.Series => {
        const stroke = color(line.color);
        return {
          label: line.label,
          stroke,
          width: 2,
          dash: line.isDashed ? [6, 4] : undefined,
          spanGaps: true,
          points: { size: 4 },
        };
      }),
    ],
  };
}

/** A canvas knows no `light-dark()`: the element's own colour says what a variable comes to. */
function resolver(parent: HTMLElement): (name: string) => string {
  return (name) => {
    parent.style.color = `var(${name})`;
    const { color } = getComputedStyle(parent);
    parent.style.color = "";
    return color;
  };
}
