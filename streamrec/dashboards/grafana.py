"""Turns boards into the classic JSON that Grafana reads from files, version 11 and later."""

import json
from typing import Any

from grafana_foundation_sdk.builders import bargauge, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from streamrec.dashboards.panel import Board, Panel, Steps

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${ds}")
COLUMNS = 24
FLAT = {"none": 0.1, "short": 0.1, "ops": 0.1, "eps": 0.1, "reqps": 0.1, "percentunit": 0.01}
"""How far an axis goes, by unit, where all is 0: Grafana would draw it up to 100."""
FORMATS = {"heatmap": PromQueryFormat.HEATMAP, "table": PromQueryFormat.TABLE}
NAMES = "ABCDEFGH"
"""What queries of a panel are called."""
LABELS = {
    "alertname": "Alert",
    "severity": "Severity",
    "topic": "Topic",
    "partition": "Partition",
    "job": "Job",
    "instance": "Instance",
    "version": "Version",
}
"""The first columns of a table, of those labels that its series have."""
WIDTHS = {"Job": 128, "Instance": 138}
NARROWEST = 60
"""Of a table's columns, in pixels: Grafana's own 150 would need more than a window of 800 has."""
STARTED = 'changes(process_start_time_seconds{job=~"streamrec-.*"}[2m]) > 0'
NEW_MODEL = (
    "max by (model) (streamrec_model_info) unless max by (model) (streamrec_model_info offset 2m)"
)


def to_json(board: Board) -> str:
    """Return a dashboard's JSON: panels from left to right, numbered in their order."""
    made = _dashboard(board)
    number = top = 0
    for row in board.rows:
        number += 1
        heading = builders.Row(row.title).id(number)
        made = made.with_row(heading.grid_pos(dashboard.GridPos(h=1, w=COLUMNS, x=0, y=top)))
        top += 1
        left = tallest = 0
        for panel in row.panels:
            panel = panel._replace(width=row.width or panel.width)
            if left + panel.width > COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            number += 1
            place = dashboard.GridPos(h=panel.height, w=panel.width, x=left, y=top)
            made = made.with_panel(_panel(panel).id(number).grid_pos(place))
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest
    plain = json.loads(json.dumps(made.build(), cls=JSONEncoder))
    # the builder of annotations has no expression
    for annotation, expression in zip(
        plain["annotations"]["list"], (STARTED, NEW_MODEL), strict=True
    ):
        annotation["expr"] = expression
    return json.dumps(plain, sort_keys=True, indent=1) + "\n"


def _dashboard(board: Board) -> Any:
    made = builders.Dashboard(board.title).uid(board.uid).description(board.says)
    made = made.tags(["streamrec"]).refresh("10s").time("now-1h", "now").timezone("browser")
    made = made.tooltip(dashboard.DashboardCursorSync.CROSSHAIR).readonly()
    links = builders.DashboardLink("streamrec").tags(["streamrec"]).keep_time(True)
    made = made.link(links.type(dashboard.DashboardLinkType.DASHBOARDS).as_dropdown(False))
    variable = builders.DatasourceVariable("ds").label("Prometheus").type("prometheus")
    made = made.with_variable(variable)
    if board.windows:
        first = board.windows[0]
        chosen = dashboard.VariableOption(text=first, value=first, selected=True)
        window = builders.CustomVariable("window").label("Over the last")
        made = made.with_variable(window.values(",".join(board.windows)).current(chosen))
    for name, color in (("Process started", "blue"), ("New model", "purple")):
        note = builders.AnnotationQuery().name(name).datasource(SOURCE)
        made = made.annotation(note.enable(True).icon_color(color))
    return made


def _panel(panel: Panel) -> Any:
    made = {
        "stat": _stat,
        "timeseries": _timeseries,
        "stack": _timeseries,
        "heatmap": _heatmap,
        "bars": _bars,
        "table": _table,
    }[panel.kind](panel)
    made = made.title(panel.title).description(panel.says).datasource(SOURCE)
    for (legend, expression), name in zip(panel.queries.items(), NAMES, strict=False):
        made = made.with_target(_query(expression, legend, panel.kind).ref_id(name))
    return made


def _query(expression: str, legend: str, kind: str) -> Any:
    named = "__auto" if kind == "table" or not legend else legend
    made = prometheus.Dataquery().expr(expression).legend_format(named).datasource(SOURCE)
    if kind in FORMATS:
        made = made.format(FORMATS[kind])
    return made.instant() if kind in ("bars", "table") else made.range()


def _stat(panel: Panel) -> Any:
    made = stat.Panel().unit(panel.unit).thresholds(_steps(panel.steps))
    made = made.color_mode(common.BigValueColorMode.VALUE)
    made = made.graph_mode(common.BigValueGraphMode.AREA).reduce_options(_last())
    return made if panel.decimals is None else made.decimals(panel.decimals)


def _timeseries(panel: Panel) -> Any:
    stacked = panel.kind == "stack"
    made = timeseries.Panel().unit(panel.unit).min(0).line_width(1)
    if panel.unit in FLAT:
        made = made.axis_soft_max(FLAT[panel.unit])
    made = made.fill_opacity(50 if stacked else 8).show_points(common.VisibilityMode.NEVER)
    legend = common_builders.VizLegendOptions().placement(common.LegendPlacement.BOTTOM)
    made = made.legend(legend.display_mode(common.LegendDisplayMode.LIST).show_legend(True))
    tooltip = common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
    made = made.tooltip(tooltip.sort(common.SortOrder.DESCENDING))
    made = made.thresholds(_steps(panel.steps))
    if panel.line:
        style = common_builders.GraphThresholdsStyleConfig()
        made = made.thresholds_style(style.mode(common.GraphThresholdsStyleMode.DASHED))
    if stacked:
        mode = common_builders.StackingConfig().mode(common.StackingMode.NORMAL)
        made = made.stacking(mode)
    if panel.thick:
        made = made.override_by_name(panel.thick, _stands_out(stacked))
    return made


def _stands_out(stacked: bool) -> list[dashboard.DynamicConfigValue]:
    looks: dict[str, Any] = {
        "custom.lineWidth": 3,
        "custom.fillOpacity": 0,
        "color": {"mode": "fixed", "fixedColor": "text"},
    }
    if stacked:  # a line over the stack, not a part of it
        looks["custom.stacking"] = {"mode": "none"}
    return [dashboard.DynamicConfigValue(id_val=key, value=value) for key, value in looks.items()]


def _heatmap(panel: Panel) -> Any:
    axis = heatmap.YAxisConfig().unit(panel.unit)
    return heatmap.Panel().calculate(False).y_axis(axis).thresholds(_steps(panel.steps))


def _bars(panel: Panel) -> Any:
    made = bargauge.Panel().unit(panel.unit).min(0).thresholds(_steps(panel.steps))
    made = made.orientation(common.VizOrientation.HORIZONTAL)
    made = made.display_mode(common.BarGaugeDisplayMode.BASIC).reduce_options(_last())
    return made if panel.decimals is None else made.decimals(panel.decimals)


def _table(panel: Panel) -> Any:
    """Return a table: one row for each set of labels, one column for each query."""
    made = table.Panel().unit(panel.unit).thresholds(_steps(panel.steps)).min_width(NARROWEST)
    # where there is one query only, Grafana gives its values no letter
    values = [f"Value #{name}" for name in NAMES] if len(panel.queries) > 1 else ["Value"]
    titles = {**LABELS, **dict(zip(values, panel.queries, strict=False))}
    layout = {
        "excludeByName": {"Time": True},
        "indexByName": {name: place for place, name in enumerate(titles)},
        "renameByName": titles,
    }
    for name, options in (("merge", {}), ("organize", layout)):
        step = dashboard.DataTransformerConfig(id_val=name, options=options)
        made = made.with_transformation(step)
    for title, wide in WIDTHS.items():
        of = dashboard.DynamicConfigValue("custom.width", wide)
        made = made.override_by_name(title, [of])
    for title, unit in panel.units.items():
        own = {"unit": unit} | ({"decimals": 0} if unit == "s" else {})  # "3.22 mins" is cut off
        looks = [dashboard.DynamicConfigValue(name, value) for name, value in own.items()]
        made = made.override_by_name(title, looks)
    sort = common_builders.TableSortByFieldState().display_name(panel.sort)
    return made.sort_by([sort.desc(panel.sort in panel.queries)])


def _last() -> Any:
    return common_builders.ReduceDataOptions().calcs(["lastNotNull"])


def _steps(steps: Steps) -> Any:
    made = builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE)
    return made.steps([dashboard.Threshold(color=color, value=at) for at, color in steps])
