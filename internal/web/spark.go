package web

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// A sparkline's own units; its width is at most that.
const (
	sparkWidth  = 120
	sparkHeight = 24
)

// spark draws values as a line over an area, as SVG. top is the upper end of the scale, 0 for the greatest value. Of several values
// in one place the greatest is drawn.
func spark(values []float64, top float64) template.HTML {
	points := squeeze(values, sparkWidth)
	if len(points) == 1 {
		points = []float64{points[0], points[0]}
	}
	for _, v := range points {
		if !math.IsNaN(v) {
			top = max(top, v)
		}
	}
	if top == 0 {
		top = 1
	}
	var line, area strings.Builder
	open := -1
	for i := range len(points) + 1 {
		if i < len(points) && !math.IsNaN(points[i]) {
			verb := 'L'
			if open < 0 {
				open, verb = i, 'M'
				fmt.Fprintf(&area, "M%d %d", i, sparkHeight)
			}
			y := sparkHeight - 1 - max(points[i], 0)/top*(sparkHeight-2)
			fmt.Fprintf(&line, "%c%d %.1f", verb, i, y)
			fmt.Fprintf(&area, "L%d %.1f", i, y)
		} else if open >= 0 {
			fmt.Fprintf(&area, "L%d %dZ", i-1, sparkHeight)
			open = -1
		}
	}
	return template.HTML(fmt.Sprintf(`<svg class="spark" viewBox="0 0 %d %d" preserveAspectRatio="none" aria-hidden="true"><path class="area" d="%s"/><path class="line" d="%s"/></svg>`,
		max(len(points)-1, 1), sparkHeight, area.String(), line.String()))
}

// squeeze makes n values of more, each the greatest of its place.
func squeeze(values []float64, n int) []float64 {
	if len(values) <= n {
		return values
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
		for _, v := range values[i*len(values)/n : (i+1)*len(values)/n] {
			if !math.IsNaN(v) && !(v <= out[i]) {
				out[i] = v
			}
		}
	}
	return out
}
