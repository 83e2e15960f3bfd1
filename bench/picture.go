package main

import (
	"strings"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/picture"
)

// shown lists the figures in the picture of a run: the measurement and a caption.
var shown = []struct {
	name   string
	column column
	title  string
	note   string
}{
	{"fanout-http-1000", cpuPerDelivery, "CPU for a delivery, µs", "1,000 readers, 50 messages a second; less is better"},
	{"saturate-http-1000", perSecond, "Deliveries per second", "1,000 readers, 16 publishers that never pause; more is better"},
	{"idle-http-10000", kbPerReader, "Memory for an idle reader, KB", "10,000 readers; less is better"},
	{"replay", perMessage, "CPU for a replayed message, µs", "1,000 messages to each of 200 readers; less is better"},
	{"fanout-h2-1000", cpuPerDelivery, "CPU for a delivery over HTTP/2 and TLS, µs", "1,000 readers, 50 messages a second; less is better"},
	{"saturate-h2-1000", perSecond, "Deliveries per second over HTTP/2 and TLS", "1,000 readers, 16 publishers that never pause; more is better"},
}

// picture draws the results of a run: growth as curves, others as bars.
func (r *report) picture() []byte {
	if charts := r.charts(); len(charts) > 0 {
		return picture.Curves(charts)
	}
	var panels []picture.Panel
	for _, s := range shown {
		if m := r.find(s.name); m != nil {
			panels = append(panels, m.panel(s.column, s.title, s.note))
		}
	}
	return picture.Bars(panels)
}

func (r *report) find(name string) *measurement {
	for _, m := range r.Measurements {
		if m.Name == name {
			return m
		}
	}
	return nil
}

func (m *measurement) panel(c column, title, note string) picture.Panel {
	p := picture.Panel{Title: title, Note: note}
	for _, name := range m.Servers {
		v := m.median(name, c)
		p.Bars = append(p.Bars, picture.Bar{Name: label(name), Value: v, Text: format(v), Kind: kindOf(name)})
	}
	return p
}

// label is the name of a server in pictures.
func label(name string) string {
	switch name {
	case "ours":
		return "sse_chat"
	case "ours-unparked":
		return "… park off"
	case "node":
		return "first (Node)"
	default:
		return name
	}
}

func kindOf(name string) picture.Kind {
	switch {
	case name == "ours":
		return picture.Ours
	case strings.HasPrefix(name, "ours"):
		return picture.OursPlain
	case strings.HasPrefix(name, "floor"):
		return picture.Floor
	default:
		return picture.Rival
	}
}

// grown lists the curves of growth: the common prefix of the measurements' names,
// and the parameter that varies.
var grown = []struct {
	prefix string
	column column
	title  string
	note   string
	x      func(params) float64
}{
	{"readers-", cpuPerDelivery, "CPU for a delivery, µs", "by readers of one room", func(p params) float64 { return float64(p.Readers) }},
	{"size-", cpuPerDelivery, "CPU for a delivery, µs", "by bytes of text, 1,000 readers", func(p params) float64 { return float64(p.Size) }},
	{"rooms-", cpuPerPublish, "CPU for a message and its deliveries, µs", "by rooms, 1,000 readers", func(p params) float64 { return float64(p.Rooms) }},
	{"rooms-", kbPerRoom, "Memory for a room and its readers, KB", "by rooms, 1,000 readers", func(p params) float64 { return float64(p.Rooms) }},
}

func (r *report) charts() []picture.Chart {
	var charts []picture.Chart
	for _, g := range grown {
		chart := picture.Chart{Title: g.title, Note: g.note}
		curves := make(map[string]int)
		for _, m := range r.Measurements {
			if !strings.HasPrefix(m.Name, g.prefix) {
				continue
			}
			for _, name := range m.Servers {
				i, ok := curves[name]
				if !ok {
					i = len(chart.Curves)
					curves[name] = i
					chart.Curves = append(chart.Curves, picture.Curve{Name: label(name), Kind: kindOf(name)})
				}
				if v := m.median(name, g.column); v > 0 {
					chart.Curves[i].X = append(chart.Curves[i].X, g.x(m.Params))
					chart.Curves[i].Y = append(chart.Curves[i].Y, v)
				}
			}
		}
		if len(chart.Curves) > 0 {
			charts = append(charts, chart)
		}
	}
	return charts
}
