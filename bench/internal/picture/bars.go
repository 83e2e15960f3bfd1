// Package picture draws results as SVG that is readable on light and dark
// backgrounds.
package picture

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Panel is a group of bars.
type Panel struct {
	Title, Note string
	Bars        []Bar
}

// Bar is one value. Ours is highlighted, the floor is muted.
type Bar struct {
	Name  string
	Value float64
	Text  string
	Kind  Kind
}

// Kind tells whose value a bar or curve shows.
type Kind string

// The kinds are CSS classes.
const (
	Ours      Kind = "ours"
	OursPlain Kind = "ours plain" // without its main optimization
	Rival     Kind = "rival"
	Floor     Kind = "floor"
)

// style has colours with enough contrast to both white and black.
const style = `<style>
	text { font: 13px system-ui, sans-serif; fill: #59636e }
	.title { font-size: 15px; font-weight: 600; fill: #1f2328 }
	.note, .tick { font-size: 11px }
	.ours { fill: #1f883d; stroke: #1f883d } .rival { fill: #8c959f; stroke: #8c959f } .floor { fill: #d1d9e0; stroke: #b6bfc8 }
	.label-ours { font-weight: 600; fill: #1f2328 }
	.line { fill: none; stroke-width: 2 } .dot { stroke: none } rect.plain { opacity: .6 } .line.plain { stroke-dasharray: 6 4 } .grid { stroke: #8c959f55; stroke-width: 1 }
	@media (prefers-color-scheme: dark) {
		text { fill: #9198a1 } .title, .label-ours { fill: #f0f6fc }
		.ours { fill: #3fb950; stroke: #3fb950 } .rival { fill: #656c76; stroke: #656c76 } .floor { fill: #3d444d; stroke: #3d444d }
	}
</style>
`

const (
	panelWidth  = 400
	barHeight   = 22
	labelWidth  = 110
	valueWidth  = 80
	panelMargin = 20
	headHeight  = 48
)

// Bars draws panels in two columns.
func Bars(panels []Panel) []byte {
	var b strings.Builder
	y, height := panelMargin, 0
	var body strings.Builder
	for i, p := range panels {
		x := panelMargin + i%2*(panelWidth+panelMargin)
		drawBars(&body, p, x, y)
		height = max(height, headHeight+len(p.Bars)*barHeight+panelMargin)
		if i%2 == 1 || i == len(panels)-1 {
			y += height
			height = 0
		}
	}
	open(&b, 2*panelWidth+3*panelMargin, y)
	b.WriteString(body.String())
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

func open(b *strings.Builder, width, height int) {
	fmt.Fprintf(b, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %[1]d %[2]d\" role=\"img\">\n%s", width, height, style)
}

func drawBars(b *strings.Builder, p Panel, x, y int) {
	fmt.Fprintf(b, "<text class=\"title\" x=\"%d\" y=\"%d\">%s</text>\n", x, y+14, html.EscapeString(p.Title))
	fmt.Fprintf(b, "<text class=\"note\" x=\"%d\" y=\"%d\">%s</text>\n", x, y+32, html.EscapeString(p.Note))
	longest := 0.0
	for _, bar := range p.Bars {
		longest = math.Max(longest, bar.Value)
	}
	for i, bar := range p.Bars {
		top := y + headHeight + i*barHeight
		width := 1.0
		if longest > 0 {
			width = math.Max(1, bar.Value/longest*(panelWidth-labelWidth-valueWidth))
		}
		fmt.Fprintf(b, "<text class=\"label-%s\" x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>", bar.Kind, x+labelWidth-8, top+12, html.EscapeString(bar.Name))
		fmt.Fprintf(b, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>", bar.Kind, x+labelWidth, top, width, barHeight-6)
		fmt.Fprintf(b, "<text class=\"label-%s\" x=\"%.1f\" y=\"%d\">%s</text>\n", bar.Kind, float64(x+labelWidth)+width+6, top+12, html.EscapeString(bar.Text))
	}
}
