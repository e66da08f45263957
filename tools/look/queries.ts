// Asks Prometheus for a panel's targets and makes Grafana's data frames of the answers.
import { createDataFrame, DataFrame, FieldType } from '@grafana/data';

export interface Span { from: number; to: number; step: number }

/** Fill in the intervals and the current values of a dashboard's variables. */
function filled(expr: string, variables: any[], span: Span): string {
  const values: Record<string, string> = {
    __rate_interval: `${Math.max(20, 4 * span.step)}s`,
    __interval: `${span.step}s`,
    __range: `${Math.round((span.to - span.from) / 1000)}s`,
  };
  for (const one of variables) values[one.name] = String(one.current?.value ?? '');
  return expr.replace(/\$\{?(\w+)\}?/g, (whole, name) => values[name] ?? whole);
}

function nameOf(target: any, labels: Record<string, string>): string {
  if (target.legendFormat !== '__auto') {
    return target.legendFormat.replace(/\{\{\s*(\w+)\s*\}\}/g, (_: string, key: string) => labels[key] ?? '');
  }
  const shown = Object.entries(labels).filter(([key]) => key !== '__name__');
  return shown.map(([key, value]) => `${key}="${value}"`).join(', ') || 'Value';
}

export async function ask(prometheus: string, target: any, variables: any[], span: Span, alone: boolean): Promise<DataFrame[]> {
  const query = encodeURIComponent(filled(target.expr, variables, span));
  const url = target.instant
    ? `${prometheus}/api/v1/query?time=${span.to / 1000}&query=${query}`
    : `${prometheus}/api/v1/query_range?start=${span.from / 1000}&end=${span.to / 1000}&step=${span.step}&query=${query}`;
  const reply = await (await fetch(url)).json();
  if (reply.status !== 'success') throw new Error(reply.error);
  if (target.format === 'table') return [table(target, reply.data.result, alone)];
  return reply.data.result.map((series: any) => frame(target, series, span));
}

/** As Grafana's data source does: a column for each label, and one of the values, named after the query. */
function table(target: any, found: any[], alone: boolean): DataFrame {
  const labels = Object.keys(Object.assign({}, ...found.map((one) => one.metric)));
  return createDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: found.map((one) => one.value[0] * 1000), config: {} },
      ...labels.map((name) => ({ name, type: FieldType.string, values: found.map((one) => one.metric[name]), config: {} })),
      { name: alone ? 'Value' : `Value #${target.refId}`, type: FieldType.number, values: found.map((one) => Number(one.value[1])), config: {} },
    ],
  });
}

function frame(target: any, series: any, span: Span): DataFrame {
  const points: [number, string][] = series.values ?? [series.value];
  const known = new Map(points.map(([at, value]) => [Math.round(at), Number(value)]));
  const times: number[] = [];
  if (target.instant) times.push(points[0][0] * 1000);
  else for (let at = span.from; at <= span.to; at += span.step * 1000) times.push(at);
  const values = times.map((at) => known.get(Math.round(at / 1000)) ?? null); // a gap stays a gap
  const name = nameOf(target, series.metric);
  return createDataFrame({
    refId: target.refId,
    name,
    fields: [
      { name: 'Time', type: FieldType.time, values: times, config: {} },
      { name, type: FieldType.number, values, labels: series.metric, config: {} },
    ],
  });
}
