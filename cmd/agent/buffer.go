package main

import (
	"bufio"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"headend-agent/buffer"
)

// bufferCommand looks into the directory of a buffer, of an agent that may be at work or dead.
func bufferCommand(args []string, stdout, stderr io.Writer) int {
	commands := map[string]func(*buffer.Archive, io.Writer, io.Writer) error{"inspect": inspectBuffer, "export": exportBuffer}
	if len(args) != 2 || commands[args[0]] == nil {
		fmt.Fprintln(stderr, "usage: headend-agent buffer inspect DIR   what is in it, damage, how far each destination is")
		fmt.Fprintln(stderr, "       headend-agent buffer export DIR    its samples as OpenMetrics text, for promtool tsdb create-blocks-from openmetrics")
		return 2
	}
	a, err := buffer.OpenArchive(args[1])
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	defer a.Close()
	if err := commands[args[0]](a, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

func inspectBuffer(a *buffer.Archive, stdout, _ io.Writer) error {
	r, err := a.Inspect()
	if err != nil {
		return err
	}
	out := bufio.NewWriter(stdout)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SLOT\tLAP\tFROM\tTO\tBLOCKS\tSAMPLES\tBYTES/SAMPLE\tDAMAGE")
	samples := 0
	for _, s := range r.Slots {
		samples += s.Samples
		damage := "-"
		if s.Damaged > 0 {
			damage = fmt.Sprintf("%d blocks: %s", s.Damaged, s.Error)
		}
		fmt.Fprintf(w, "%04d\t%d\t%s\t%s\t%d\t%d\t%.2f\t%s\n", s.Slot, s.Lap, clock(s.MinMs), clock(s.MaxMs), s.Blocks, s.Samples,
			float64(s.Bytes)/float64(max(1, s.Samples)), damage)
	}
	w.Flush()
	fmt.Fprintf(out, "\n%d slots hold %d samples; %d are free\n\n", len(r.Slots), samples, r.Free)
	fmt.Fprintln(w, "DESTINATION\tPENDING\tHOURS\tGAPS\tIN FLIGHT\tCONFIGURED\tNOTE")
	for _, c := range r.Cursors {
		inFlight := "no"
		if c.InFlight {
			inFlight = "yes"
		}
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%d\t%s\t%s\t%s\n", c.Destination, c.Pending, c.Hours, c.Gaps, inFlight, clock(c.Seen*1000), c.Note)
	}
	w.Flush()
	return out.Flush()
}

func clock(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05Z") }

func exportBuffer(a *buffer.Archive, stdout, stderr io.Writer) error {
	written, lost, err := a.Export(stdout)
	if err == nil {
		fmt.Fprintf(stderr, "%d samples written; %d could not be read or have no time\n", written, lost)
	}
	return err
}
