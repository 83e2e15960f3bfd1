package picture

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// Chart is a group of curves over the same axes: both logarithmic, or both linear
// from zero.
type Chart struct {
	Title, Note string
	Linear      bool
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

// axis maps values to pixels.
type axis struct {
	scale     func(float64) float64
	low, high float64 // scaled
	from, to  float64
	ticks     []float64
}

// newAxis returns an axis between two powers of ten.
func newAxis(values []float64, from, to float64) axis {
	a := axis{scale: math.Log10, low: math.Inf(1), high: math.Inf(-1), from: from, to: to}
	for _, v := range values {
		if v > 0 {
			a.low, a.high = math.Min(a.low, math.Floor(math.Log10(v))), math.Max(a.high, math.Ceil(math.Log10(v)))
		}
	}
	if a.high < a.low { // no value is greater than zero
		a.low, a.high = 0, 0
	}
	if a.high == a.low {
		a.high = a.low + 1
	}
	for e := a.low; e <= a.high; e++ {
		a.ticks = append(a.ticks, math.Pow(10, e))
	}
	return a
}

// newLinearAxis returns an axis from zero, with three to six ticks.
func newLinearAxis(values []float64, from, to float64) axis {
	a := axis{scale: func(v float64) float64 { return v }, high: slices.Max(values), from: from, to: to}
	if a.high <= 0 {
		a.high = 1
	}
	power := math.Pow(10, math.Floor(math.Log10(a.high)))
	step := 2 * power
	for _, part := range []float64{0.2, 0.25, 0.5, 1} {
		if a.high/(part*power) <= 5 {
			step = part * power
			break
		}
	}
	for v := 0.0; v < a.high+step; v += step {
		a.ticks = append(a.ticks, v)
	}
	a.high = a.ticks[len(a.ticks)-1]
	return a
}

func (a axis) at(v float64) float64 {
	return a.from + (a.scale(v)-a.low)/(a.high-a.low)*(a.to-a.from)
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
	scale := newAxis
	if c.Linear {
		scale = newLinearAxis
	}
	across, up := scale(xs, left, right), scale(ys, bottom, top)
	for _, v := range across.ticks {
		fmt.Fprintf(b, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1[1]f\" y1=\"%.1f\" y2=\"%.1f\"/>", across.at(v), top, bottom)
		fmt.Fprintf(b, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", across.at(v), bottom+16, short(v))
	}
	for _, v := range up.ticks {
		fmt.Fprintf(b, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1[3]f\"/>", left, right, up.at(v))
		fmt.Fprintf(b, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", left-6, up.at(v)+4, short(v))
	}
	names := make([]float64, 0, len(c.Curves))
	for _, curve := range c.Curves {
		names = append(names, drawCurve(b, curve, across, up, !c.Linear, names))
	}
}

// drawCurve draws a curve and its name, without overlapping earlier names. It
// returns the position of the name.
func drawCurve(b *strings.Builder, c Curve, across, up axis, dots bool, taken []float64) float64 {
	var points []string
	var x, y float64
	for i := range c.X {
		x, y = across.at(c.X[i]), up.at(c.Y[i])
		points = append(points, fmt.Sprintf("%.1f,%.1f", x, y))
		if dots {
			fmt.Fprintf(b, "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>", c.Kind, x, y)
		}
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

// short writes a number in a short, readable form.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.3g M", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.3g k", v/1e3)
	default:
		return fmt.Sprintf("%.4g", v)
	}
}
