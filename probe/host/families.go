package host

import "headend-agent/internal/metric"

// row pairs a family with the way to its value in what a reader of procfs returns.
type row[T any] struct {
	desc  *metric.Desc
	value func(*T) float64
}

// descs lists the families of rows, and more.
func descs[T any](rows []row[T], more ...*metric.Desc) []*metric.Desc {
	all := make([]*metric.Desc, 0, len(rows)+len(more))
	for _, r := range rows {
		all = append(all, r.desc)
	}
	return append(all, more...)
}

// optional pairs a family with a value that a machine may lack.
type optional[T, N any] struct {
	desc  *metric.Desc
	value func(*T) *N
}

func optionalDescs[T, N any](rows []optional[T, N], more ...*metric.Desc) []*metric.Desc {
	all := make([]*metric.Desc, 0, len(rows)+len(more))
	for _, r := range rows {
		all = append(all, r.desc)
	}
	return append(all, more...)
}

var (
	byCPU    = []string{"cpu"}
	byDevice = []string{"device"}
)
