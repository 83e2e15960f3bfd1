package picture

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
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
