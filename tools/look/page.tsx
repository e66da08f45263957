// One dashboard's JSON, drawn from a real Prometheus: ?file=board.json&prometheus=URL&minutes=5&step=2
import React, { useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { createTheme, DataFrame, standardTransformers, standardTransformersRegistry, ThemeContext, transformDataFrame } from '@grafana/data';
import { GlobalStyles, PanelChrome, PortalContainer } from '@grafana/ui';
import { firstValueFrom } from 'rxjs';
import { configure, Drawing } from './panel';
import { ask, Span } from './queries';

const given = new URLSearchParams(location.search);
const PROMETHEUS = given.get('prometheus') ?? 'http://127.0.0.1:9090';
const TO = Math.floor(Date.now() / 1000) * 1000;
const SPAN: Span = { from: TO - Number(given.get('minutes') ?? 5) * 60_000, to: TO, step: Number(given.get('step') ?? 2) };
const THEME = createTheme({ colors: { mode: 'light' } });
const UNIT = 38, GAP = 8, COLUMNS = 24; // Grafana's grid

standardTransformersRegistry.setInit(() => [standardTransformers.mergeTransformer, standardTransformers.organizeFieldsTransformer].map(
  (transformation) => ({ id: transformation.id, name: transformation.name, transformation: () => Promise.resolve(transformation) }) as any));

function transformed(panel: any, frames: DataFrame[]): Promise<DataFrame[]> {
  return panel.transformations ? firstValueFrom(transformDataFrame(panel.transformations, frames)) : Promise.resolve(frames);
}

function Panel({ panel, variables, column }: any) {
  const [state, setState] = useState<any>(null);
  useEffect(() => {
    const asked = panel.targets.map((target: any) => ask(PROMETHEUS, target, variables, SPAN, panel.targets.length === 1));
    Promise.all(asked).then((found) => transformed(panel, found.flat())).then(
      (found) => setState({ frames: configure(panel, found, THEME) }),
      (error) => setState({ frames: [], error: String(error.message) }),
    );
  }, []);
  const { x, y, w, h } = panel.gridPos;
  const width = w * column - GAP, height = h * UNIT - GAP;
  return (
    <div data-panel={panel.title} data-ready={state ? 1 : 0} data-error={state?.error ?? ''}
      style={{ position: 'absolute', left: x * column, top: y * UNIT, width, height }}>
      <PanelChrome title={panel.title} description={panel.description} width={width} height={height} statusMessage={state?.error}>
        {(w: number, h: number) => state && <Drawing panel={panel} frames={state.frames} width={w} height={h} theme={THEME} span={SPAN} />}
      </PanelChrome>
    </div>
  );
}

function Board() {
  const [board, setBoard] = useState<any>(null);
  useEffect(() => { fetch(given.get('file')!).then((reply) => reply.json()).then(setBoard); }, []);
  if (!board) return null;
  const column = (window.innerWidth - 24) / COLUMNS;
  const bottom = Math.max(...board.panels.map((one: any) => one.gridPos.y + one.gridPos.h));
  return (
    <div id="board" style={{ padding: 12, color: THEME.colors.text.primary }}>
      <h3>{board.title}</h3>
      <div style={{ position: 'relative', height: bottom * UNIT }}>
        {board.panels.map((one: any) => one.type === 'row'
          ? <b key={one.id} style={{ position: 'absolute', top: one.gridPos.y * UNIT + 8 }}>{one.title}</b>
          : <Panel key={one.id} panel={one} variables={board.templating.list} column={column} />)}
      </div>
    </div>
  );
}

createRoot(document.getElementById('root')!).render(
  <ThemeContext.Provider value={THEME}><GlobalStyles /><PortalContainer /><Board /></ThemeContext.Provider>,
);
