package picture

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"testing"
)

func TestPicturesAreXML(t *testing.T) {
	for name, svg := range map[string][]byte{
		"bars": Bars([]Panel{
			{Title: "a < b & c", Bars: []Bar{{Name: "<ours>", Value: 2, Text: "2", Kind: Ours}, {Name: "none", Kind: Rival}}},
			{Title: "empty"},
			{Title: "third"},
		}),
		"curves": Curves([]Chart{
			{Title: "a < b", Curves: []Curve{
				{Name: "ours", Kind: Ours, X: []float64{1, 10, 100}, Y: []float64{3, 3, 5}},
				{Name: "one point", Kind: Rival, X: []float64{1}, Y: []float64{3}},
			}},
			{Title: "empty"},
			{Title: "linear", Linear: true, Curves: []Curve{
				{Name: "ours", Kind: Ours, X: []float64{0, 1.5, 3}, Y: []float64{2000, 2345, 0}},
				{Name: "nothing", Kind: Rival, X: []float64{0, 3}, Y: []float64{0, 0}},
			}},
			{Title: "zeroes", Linear: true, Curves: []Curve{{Name: "ours", Kind: Ours, X: []float64{0}, Y: []float64{0}}}},
		}),
		"nothing": Bars(nil),
	} {
		decoder := xml.NewDecoder(bytes.NewReader(svg))
		for {
			_, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Errorf("%s: %v in\n%s", name, err, svg)
				break
			}
		}
		if bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
			t.Errorf("%s has what is no number:\n%s", name, svg)
		}
	}
}

func TestLinearAxes(t *testing.T) {
	for most, want := range map[float64][]float64{
		0.07: {0, 0.02, 0.04, 0.06, 0.08}, 1: {0, 0.2, 0.4, 0.6, 0.8, 1}, 29.8: {0, 10, 20, 30}, 92: {0, 20, 40, 60, 80, 100}, 2034: {0, 500, 1000, 1500, 2000, 2500},
	} {
		a := newLinearAxis([]float64{most / 2, most}, 0, 100)
		if len(a.ticks) != len(want) {
			t.Errorf("up to %g: ticks %v, want %v", most, a.ticks, want)
			continue
		}
		for i := range want {
			if math.Abs(a.ticks[i]-want[i]) > 1e-9 {
				t.Errorf("up to %g: ticks %v, want %v", most, a.ticks, want)
				break
			}
		}
		if a.at(0) != 0 || a.at(most) > 100 {
			t.Errorf("up to %g: 0 is at %g, the most at %g", most, a.at(0), a.at(most))
		}
	}
}
