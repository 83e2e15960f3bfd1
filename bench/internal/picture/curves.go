package picture

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Chart is a group of curves over the same axes, both of them logarithmic.
type Chart struct {
	Title, Note string
	Curves      []Curve
}

// Curve is a line through points.
type Curve struct {
	Name string
	Kind Kind
	X, Y []float64
}

const (
	chartWidth  = 400
	chartHeight = 230
	axisWidth   = 46
	axisHeight  = 24
	nameWidth   = 96
)

// Curves draws charts in two columns.
func Curves(charts []Chart) []byte {
	var b strings.Builder
	rows := (len(charts) + 1) / 2
	open(&b, 2*chartWidth+3*panelMargin, panelMargin+rows*(headHeight+chartHeight+panelMargin))
	for i, c := range charts {
		drawCurves(&b, c, panelMargin+i%2*(chartWidth+panelMargin), panelMargin+i/2*(headHeight+chartHeight+panelMargin))
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// axis maps values between two powers of ten to pixels.
type axis struct {
	low, high float64 // logarithms
	from, to  float64
}

func newAxis(values []float64, from, to float64) axis {
	a := axis{math.Inf(1), math.Inf(-1), from, to}
	for _, v := range values {
		if v > 0 {
			a.low, a.high = math.Min(a.low, math.Floor(math.Log10(v))), math.Max(a.high, math.Ceil(math.Log10(v)))
		}
	}
	if a.high <= a.low {
		a.high = a.low + 1
	}
	return a
}

func (a axis) at(v float64) float64 {
	return a.from + (math.Log10(v)-a.low)/(a.high-a.low)*(a.to-a.from)
}

func drawCurves(b *strings.Builder, c Chart, x, y int) {
	fmt.Fprintf(b, "<text class=\"title\" x=\"%d\" y=\"%d\">%s</text>\n", x, y+14, html.EscapeString(c.Title))
	fmt.Fprintf(b, "<text class=\"note\" x=\"%d\" y=\"%d\">%s</text>\n", x, y+32, html.EscapeString(c.Note))
	left, right := float64(x+axisWidth), float64(x+chartWidth-nameWidth)
	top, bottom := float64(y+headHeight), float64(y+headHeight+chartHeight-axisHeight)
	var xs, ys []float64
	for _, curve := range c.Curves {
		xs, ys = append(xs, curve.X...), append(ys, curve.Y...)
	}
	if len(xs) == 0 {
		return
	}
	across, up := newAxis(xs, left, right), newAxis(ys, bottom, top)
	for e := across.low; e <= across.high; e++ {
		at := across.at(math.Pow(10, e))
		fmt.Fprintf(b, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1[1]f\" y1=\"%.1f\" y2=\"%.1f\"/>", at, top, bottom)
		fmt.Fprintf(b, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", at, bottom+16, power(e))
	}
	for e := up.low; e <= up.high; e++ {
		at := up.at(math.Pow(10, e))
		fmt.Fprintf(b, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1[3]f\"/>", left, right, at)
		fmt.Fprintf(b, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", left-6, at+4, power(e))
	}
	names := make([]float64, 0, len(c.Curves))
	for _, curve := range c.Curves {
		names = append(names, drawCurve(b, curve, across, up, names))
	}
}

// drawCurve draws a curve and its name, which keeps clear of those before. It
// returns where the name stands.
func drawCurve(b *strings.Builder, c Curve, across, up axis, taken []float64) float64 {
	var points []string
	var x, y float64
	for i := range c.X {
		x, y = across.at(c.X[i]), up.at(c.Y[i])
		points = append(points, fmt.Sprintf("%.1f,%.1f", x, y))
		fmt.Fprintf(b, "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>", c.Kind, x, y)
	}
	fmt.Fprintf(b, "<polyline class=\"%s line\" style=\"fill:none\" points=\"%s\"/>", c.Kind, strings.Join(points, " "))
	const lineHeight = 14
	for moved := true; moved; {
		moved = false
		for _, other := range taken {
			if math.Abs(other-y) < lineHeight {
				y, moved = other+lineHeight, true
			}
		}
	}
	fmt.Fprintf(b, "<text class=\"tick label-%s\" x=\"%.1f\" y=\"%.1f\">%s</text>\n", c.Kind, across.to+8, y+4, html.EscapeString(c.Name))
	return y
}

// power writes a power of ten as people do.
func power(e float64) string {
	v := math.Pow(10, e)
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%g M", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%g k", v/1e3)
	default:
		return fmt.Sprintf("%g", v)
	}
}
