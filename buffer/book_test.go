package buffer

import (
	"fmt"
	"slices"
	"testing"

	"headend-agent/internal/metric"
)

// BenchmarkListOfItsOwn is a round whose series are known, but not as a slice: every one of a relayed exposition with timestamps.
func BenchmarkListOfItsOwn(b *testing.B) {
	table, k := metric.NewTable(), newBook(1)
	refs := make([]metric.Ref, 20_000)
	for i := range refs {
		refs[i] = table.Intern(metric.LabelsOf("m", "i", fmt.Sprint(i)), nil)
	}
	k.add(refs)
	i := 0
	for b.Loop() {
		k.add([]metric.Ref{refs[i%len(refs)]})
		i++
	}
}

// A list that comes after the numbers were given up has the numbers of before, and the dictionary no series twice.
func TestNumbersAreGivenUpAndFoundAgain(t *testing.T) {
	table, k := metric.NewTable(), newBook(1)
	refs := []metric.Ref{table.Intern(metric.LabelsOf("a"), nil), table.Intern(metric.LabelsOf("b"), nil)}
	k.add(refs)
	for range keepNumbers {
		if _, ok := k.find(refs); !ok {
			t.Fatal("the list is not found")
		}
	}
	if k.numbers != nil {
		t.Error("the numbers are kept though every list is found")
	}
	list := k.add([]metric.Ref{refs[1], refs[0]})
	if len(k.series) != 2 || k.series[k.lists[list][0]] != refs[1] || k.series[k.lists[list][1]] != refs[0] {
		t.Errorf("series %v, list %v", k.series, k.lists[list])
	}
}

func TestBookOfManyPiecesIsReadBack(t *testing.T) {
	table, k := metric.NewTable(), newBook(1)
	refs := make([]metric.Ref, 10_000)
	for i := range refs {
		refs[i] = table.Intern(metric.LabelsOf("m", "i", fmt.Sprintf("%d of the series that make a text of some length", i*7919)), nil)
	}
	k.add(refs)
	pieces := 0
	for range k.since(mark{}) {
		pieces++
	}
	if pieces < 2 {
		t.Fatalf("%d pieces", pieces)
	}
	var pack packer
	var unpack unpacker
	text, rest, err := unpack.cut(pack.appendBook(nil, k, mark{}), nil, maxBookBytes)
	if err != nil || len(rest) > 0 {
		t.Fatal(err, len(rest))
	}
	again := newBook(1)
	if err := again.extend(text, table); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again.series, k.series) || !slices.EqualFunc(again.lists, k.lists, slices.Equal) {
		t.Error("the book that is read is another")
	}
}
