// Draws one panel with Grafana's own components (@grafana/ui).
import React, { useEffect, useRef } from 'react';
import { DataFrame, dateTime, FieldColorModeId, FieldType, getDisplayProcessor, getFieldDisplayValues, GrafanaTheme2 } from '@grafana/data';
import { BarGauge, BigValue, TimeSeries } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable'; // what Grafana's own table is
import { Span } from './queries';

const DRAWN = {
  drawStyle: 'line', lineInterpolation: 'linear', gradientMode: 'none', pointSize: 5, spanNulls: false,
  axisPlacement: 'auto', axisColorMode: 'text', scaleDistribution: { type: 'linear' },
  hideFrom: { legend: false, tooltip: false, viz: false },
};

/** Give each series its settings: the panel's, then those of the override that names it. */
export function configure(panel: any, frames: DataFrame[], theme: GrafanaTheme2): DataFrame[] {
  let index = 0;
  for (const field of frames.flatMap((one) => one.fields)) {
    if (field.type === FieldType.number || (panel.type === 'table' && field.type === FieldType.string)) {
      const config = structuredClone(panel.fieldConfig?.defaults ?? {});
      config.custom = { ...DRAWN, ...config.custom };
      const lines = panel.type === 'timeseries';
      config.color ??= { mode: lines ? FieldColorModeId.PaletteClassic : FieldColorModeId.Thresholds };
      config.displayName = field.config.displayName ?? field.name; // a transformation may have named it
      for (const override of panel.fieldConfig?.overrides ?? []) {
        if (override.matcher.options !== config.displayName) continue;
        for (const { id, value } of override.properties) {
          const path = id.split('.');
          const last = path.pop();
          path.reduce((at: any, key: string) => (at[key] ??= {}), config)[last] = value;
        }
      }
      field.config = config;
      field.state = { seriesIndex: index++, displayName: config.displayName };
    }
    field.display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
  }
  return frames;
}

export function Drawing({ panel, frames, width, height, theme, span }: any) {
  if (!frames.length) return <div data-empty="1" style={{ textAlign: 'center' }}>No data</div>;
  if (panel.type === 'timeseries') {
    const range = { from: dateTime(span.from), to: dateTime(span.to) };
    const legend = { ...panel.options.legend, calcs: panel.options.legend.calcs ?? [] };
    return <TimeSeries frames={frames} width={width} height={height} timeRange={{ ...range, raw: range } as any}
      timeZone="utc" options={panel.options} legend={legend} />;
  }
  if (panel.type === 'table') {
    const { sortBy, cellHeight } = panel.options;
    return <TableNG data={frames[0]} width={width} height={height} sortBy={sortBy} cellHeight={cellHeight} />;
  }
  if (panel.type === 'heatmap') return <Heatmap frames={frames} width={width} height={height} theme={theme} />;
  const shown = getFieldDisplayValues({
    fieldConfig: { defaults: {}, overrides: [] },
    reduceOptions: { calcs: ['lastNotNull'], values: false },
    replaceVariables: (text: string) => text,
    theme, data: frames, sparkline: panel.type === 'stat', timeZone: 'utc',
  });
  if (panel.type === 'stat') {
    const [one] = shown;
    const value = { ...one.display, title: undefined };
    return <BigValue theme={theme} width={width} height={height} value={value} sparkline={one.sparkline}
      colorMode={panel.options.colorMode} graphMode={panel.options.graphMode} justifyMode={'auto' as any} />;
  }
  if (panel.type === 'bargauge') {
    const longest = Math.max(...shown.map((one) => one.display.numeric));
    return <div>{shown.map((one, n) => <BarGauge key={n} theme={theme} width={width} height={height / shown.length - 3}
      value={one.display} field={{ ...one.field, min: 0, max: longest }} orientation={'horizontal' as any}
      display={one.view?.getFieldDisplayProcessor(one.colIndex!)} displayMode={'basic' as any} itemSpacing={3} lcdCellWidth={10} />)}</div>;
  }
  return <div data-unknown="1">a panel of type {panel.type} is not drawn</div>;
}

/** @grafana/ui has no heatmap: dark where many observations fell between two bounds. */
function Heatmap({ frames, width, height, theme }: { frames: DataFrame[]; width: number; height: number; theme: GrafanaTheme2 }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const rows = frames.filter((one) => one.fields[1].labels!.le !== '+Inf').map((one) => ({ le: Number(one.fields[1].labels!.le), counts: one.fields[1].values as (number | null)[] }));
    rows.sort((one, other) => one.le - other.le);
    const columns = rows[0].counts.length, tall = (height - 16) / rows.length, wide = (width - 50) / columns;
    const own = rows.map((row, n) => row.counts.map((count, at) => Math.max(0, (count ?? 0) - (n ? rows[n - 1].counts[at] ?? 0 : 0))));
    const most = Math.max(1e-9, ...own.flat());
    const pen = canvas.current!.getContext('2d')!;
    own.forEach((counts, n) => counts.forEach((count, at) => {
      if (!count) return;
      pen.fillStyle = `rgba(255,152,48,${0.1 + 0.9 * Math.sqrt(count / most)})`;
      pen.fillRect(50 + at * wide, height - 16 - (n + 1) * tall, wide + 0.5, tall);
    }));
    pen.fillStyle = theme.colors.text.secondary;
    pen.font = '10px sans-serif';
    rows.forEach((row, n) => n % 4 || pen.fillText(`${row.le} s`, 4, height - 16 - n * tall));
  });
  return <canvas ref={canvas} width={width} height={height} />;
}
