"""A state diagram of Mermaid's as a picture, by Graphviz: as much of that language as docs/leases.md speaks.

    state NAME {            a box of states
        [*] --> A           where it begins
        A --> B : label     an arrow
    }
    NAME --> C : label      an arrow from the whole box
"""
import re
import subprocess
import textwrap

FONT = 'fontname="sans-serif" fontsize=11'


def svg(text: str) -> str:
    """The picture, in the colour of the text around it."""
    arrows: dict[tuple[str, str], list[str]] = {}
    boxes: dict[str, dict[str, None]] = {}
    box = None
    for line in text.splitlines():
        if begins := re.fullmatch(r"\s*state (\w+) \{", line):
            box = begins[1]
            boxes[box] = {}
        elif line.strip() == "}":
            box = None
        elif arrow := re.fullmatch(r"\s*(\S+) --> (\S+) : (.*)", line):
            start, end, label = arrow.groups()
            arrows.setdefault((start, end), []).append(label)
            if box:
                boxes[box] |= dict.fromkeys((start, end))
        elif line.strip() not in ("", "stateDiagram-v2"):
            raise ValueError(f"the drawing says what is not understood here: {line}")

    dot = ["digraph {", "compound=true rankdir=TB nodesep=0.35 ranksep=0.55 bgcolor=transparent",
           f'node [shape=box style=rounded {FONT}]', f'edge [arrowsize=0.7 {FONT}]']
    for name, states in boxes.items():
        inside = " ".join(f'"{state}"' for state in states)
        dot.append(f'subgraph "cluster_{name}" {{ label="{name}" style="rounded,dashed" {FONT} {inside} }}')
    for (start, end), labels in arrows.items():
        if start == "[*]":
            dot.append('"[*]" [shape=circle style=filled fillcolor=black label="" width=0.15]')
        tail = ""
        if start in boxes:
            tail, start = f' ltail="cluster_{start}"', list(boxes[start])[-1]
        # Narrow, so that the whole picture is; what is told stands on a line of its own.
        lines = [line for label in labels for part in label.split(" / ") for line in textwrap.wrap(part, 19)]
        label = "".join(line + r"\l" for line in lines)
        dot.append(f'"{start}" -> "{end}" [label="{label}"{tail}]')
    made = subprocess.run(["dot", "-Tsvg"], input="\n".join(dot + ["}"]), capture_output=True, text=True, check=True)
    picture = made.stdout[made.stdout.index("<svg"):]
    # Black is what has no colour of its own.
    picture = picture.replace('stroke="black"', 'stroke="currentColor"').replace('fill="black"', 'fill="currentColor"')
    picture = picture.replace("<text ", '<text fill="currentColor" ').replace("\n\n", "\n")
    return f'<div class="drawing">{picture}</div>'
