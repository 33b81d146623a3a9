"""Drawings of a graph and plans in words, held against what they should look like."""

from __future__ import annotations

import warnings

import pytest

from papympi import Graph, GraphError
from papympi.plan.compile import compile_plan
from papympi.plan.draw import draw_dot, draw_mermaid, draw_text
from papympi.plan.explain import explain


def do(*values): ...


def split(*values):
    yield from values


NODES = {
    "image": (do, ["frame", "calibration"], {"pool": "threads", "stride": 4}),
    "tiles": (split, ["image"], {}),
    "stars": (do, ["tiles"], {}),
    "mosaic": (do, ["stars", "image"], {"gather": True}),
    "contact_sheet": (do, ["mosaic"], {"gather": 8}),
    "strips": (split, ["mosaic"], {"gather": 3, "stride": "auto"}),
    "count": (do, ["mosaic"], {"fold": int}),
}


@pytest.fixture
def graph() -> Graph:
    """A graph with something of every kind."""
    graph = Graph("survey")
    graph.add(list, name="frame")
    for name, (function, above, options) in NODES.items():
        graph.add(function, name=name, inputs={"values": above}, **options)
    return graph


TEXT = """\
●    calibration    input
│ ●  frame          source
●─╯  image          on threads stride 4
├─●  tiles          scatter
│ ●  stars
●─╯  mosaic         gather all
├─●  contact_sheet  gather by 8
├─●  strips         scatter by 3 stride auto
●    count          fold
"""


def test_text(graph):
    assert draw_text(graph) == TEXT


def test_text_of_crossing_edges():
    graph = Graph("crossing")
    for name, above in [("p", "abc"), ("q", "ac"), ("r", "bpq"), ("s", "ar")]:
        graph.add(lambda *values: values, name=name, inputs={"values": list(above)})
    assert draw_text(graph).splitlines() == [
        "●        a  input",
        "│ ●      b  input",
        "│ │ ●    c  input",
        "├─┼─┼─●  p",
        "├─│─● │  q",
        "│ ●─┴─╯  r",
        "●─╯      s",
    ]


def test_mermaid(graph):
    lines = draw_mermaid(graph).splitlines()
    assert lines[:5] == [
        "flowchart TD",
        '    n0[/"calibration<br/>input"/]',
        '    n1(["frame<br/>source"])',
        '    n2["image<br/>on threads stride 4"]',
        '    n3[/"tiles<br/>scatter"\\]',
    ]
    assert '    n8{{"count<br/>fold"}}' in lines
    assert [line.strip() for line in lines if "-->" in line][:3] == ["n1 --> n2", "n0 --> n2", "n2 --> n3"]


def test_dot(graph):
    dot = draw_dot(graph)
    assert '    "mosaic" [label="mosaic\\ngather all", shape=invtrapezium]' in dot
    assert dot.count(" -> ") == 9
    assert dot.startswith("digraph {\n")
    assert dot.endswith("}\n")


def test_quotes_do_not_break_it():
    """Quotes do not break a drawing."""
    graph = Graph("quoted")
    graph.add(lambda x: x, name="a", pool='my "pool"')
    assert "on my 'pool'" in draw_dot(graph)
    assert "on my 'pool'" in draw_mermaid(graph)


@pytest.mark.parametrize("draw", [draw_text, draw_mermaid, draw_dot])
def test_what_cannot_be_drawn(draw):
    graph = Graph("cycle")
    graph.add(lambda b: b, name="a")
    graph.add(lambda a: a, name="b")
    with pytest.raises(GraphError, match="form a cycle"):
        draw(graph)


PLAN = """\
6 stages on processes, threads

step  does        nodes                 pool       stride  depth
0     source      calibration + frame                      1
1     map         image                 threads    4       1
2     scatter     tiles                 processes  auto    1
3     map         stars                 processes  auto    2
4     gather      mosaic[gather]                           2
5     map         mosaic                processes  auto    1
6     group by 8  contact_sheet[group]                     1
7     fold        count                 processes  auto    1
8     map         contact_sheet         processes  auto    1

targets: contact_sheet, count

why stages end:
  calibration | image     a source is read by the runner
  frame | image           a source is read by the runner
  image | tiles           a scatter streams: it is suspended between chunks
  tiles | stars           a scatter's children spread over the workers
  stars | mosaic          gather
  image | mosaic          gather
  mosaic | contact_sheet  gather=8
  mosaic | count          fold
"""


def test_a_plan_in_words(graph):
    told = explain(compile_plan(graph, ["contact_sheet", "count"]))
    assert sorted(told.splitlines()) == sorted(PLAN.splitlines())
    assert told.splitlines()[:13] == PLAN.splitlines()[:13]


def test_plan_of_one_and_of_many():
    """A plan of one source and one of many nodes."""
    graph = Graph("chain")
    for index in range(20):
        graph.add(lambda x: x, name=f"n{index}", inputs={"x": f"n{index - 1}" if index else "x"})
    told = explain(compile_plan(graph))
    assert told.startswith("1 stage on processes\n")
    assert "n0 + n1 + n2 + n3 + n4 + n5 + n6 + n7 + 12 more" in told
    assert explain(compile_plan(graph, ["x"])).splitlines()[0] == "0 stages"


def test_warnings_are_told(graph):
    graph.add(lambda tiles, mosaic: 1, name="late")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = explain(compile_plan(graph))
    assert "\nwarning: node 'late' (" in told


def test_staying_scatter_is_drawn():
    """A scatter that does not spread is drawn with what stays with it."""
    graph = Graph("staying")

    @graph.node(spread=False)
    def kid(x):
        yield x

    graph.add(abs, name="inner", inputs={"x": "kid"})
    graph.add(sum, name="all", inputs={"iterable": "inner"}, gather=True)
    graph.add(abs, name="after", inputs={"x": "all"})
    text = [" ".join(line.split()[1:]) for line in draw_text(graph).splitlines()]
    assert text == ["x input", "kid scatter spread=False", "inner with kid", "all gather all with kid", "after"]
    assert "    subgraph n1s[one stage]\n        n1\n        n2\n        n3\n    end\n" in draw_mermaid(graph)
    assert '    subgraph cluster_0 { label="one stage"; "kid" "inner" "all" }\n' in draw_dot(graph)
