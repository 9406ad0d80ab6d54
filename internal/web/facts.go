package web

import "time"

// Facts are what the agent knows and its metrics do not tell. Nothing in them is a secret: URLs come without credentials.
type Facts struct {
	Host         string        `json:"host"`
	Version      string        `json:"version"`
	Started      time.Time     `json:"started"`
	Config       string        `json:"config_file"`
	ConfigOK     bool          `json:"config_ok"` // what is in force is what the file says
	Probes       []Probe       `json:"probes"`
	Absent       []Absent      `json:"absent"`
	Destinations []Destination `json:"destinations"`
	Ring         Ring          `json:"ring"`
}

// Probe is one that runs.
type Probe struct {
	Name        string    `json:"name"`
	Target      string    `json:"target,omitempty"`
	Interval    Seconds   `json:"interval_seconds"`
	LastRun     time.Time `json:"last_run,omitzero"`
	LastSuccess time.Time `json:"last_success,omitzero"`
	Error       string    `json:"error,omitempty"`  // of the newest run
	Absent      []string  `json:"absent,omitempty"` // why there is nothing to show of its devices
	Duration    *float64  `json:"duration_seconds,omitempty"`
	Series      *float64  `json:"series,omitempty"`
}

// SwitchedOff is the reason of a probe that somebody has turned off.
const SwitchedOff = "switched off in the configuration"

// Absent is something that is not there to be probed.
type Absent struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// Destination is a receiver.
type Destination struct {
	Name        string    `json:"name"`
	URL         string    `json:"url"`
	Order       string    `json:"order,omitempty"`
	Flush       Seconds   `json:"flush_interval_seconds"`
	Protocol    string    `json:"protocol,omitempty"`
	Trouble     string    `json:"trouble,omitempty"` // why nothing gets through
	Since       time.Time `json:"trouble_since,omitzero"`
	LastStatus  int       `json:"last_status,omitempty"` // HTTP; 0 where no answer came
	LastRequest time.Time `json:"last_request,omitzero"` // its end
	Wait        Seconds   `json:"wait_seconds,omitempty"`
	Said        string    `json:"said,omitempty"` // by the receiver, of what it refused last

	State     string             `json:"state"` // connected, draining, refusing, failing or starting
	Pending   *float64           `json:"samples_pending,omitempty"`
	Oldest    *float64           `json:"oldest_pending_seconds,omitempty"`
	Delivered *float64           `json:"samples_delivered,omitempty"`
	Refused   *float64           `json:"samples_refused,omitempty"`
	Uncertain *float64           `json:"samples_uncertain,omitempty"`
	Dropped   map[string]float64 `json:"samples_dropped,omitempty"` // by reason
	Bytes     *float64           `json:"bytes,omitempty"`
	Rate      *float64           `json:"samples_per_second,omitempty"`
	BitRate   *float64           `json:"bits_per_second,omitempty"`
	Peak      *float64           `json:"samples_pending_peak,omitempty"` // of the last hour
	Drained   *float64           `json:"drained_ratio,omitempty"`        // of the peak
	DrainTime *float64           `json:"drain_seconds,omitempty"`        // at the rate of the last minute
	Clock     *float64           `json:"clock_offset_seconds,omitempty"`
	History   Track              `json:"samples_pending_history,omitempty"` // in the steps of Status.History
}

// Ring is the buffer.
type Ring struct {
	Mode        string   `json:"mode"` // disk, partial or memory
	Path        string   `json:"path,omitempty"`
	Limit       float64  `json:"limit_bytes"` // on disk
	Memory      *float64 `json:"memory_bytes,omitempty"`
	MemoryLimit *float64 `json:"memory_limit_bytes,omitempty"`
	Room        int      `json:"slots_limit,omitempty"`
	Left        *float64 `json:"room_seconds,omitempty"` // what else fits, at the pace of what is in it
	Used        *float64 `json:"slots_used,omitempty"`
	Slots       []Slot   `json:"slots,omitempty"`   // that hold samples, in memory those not yet written, oldest first
	Cursors     []Cursor `json:"cursors,omitempty"` // of destinations that have not got all
}

// Slot is a part of the ring.
type Slot struct {
	Oldest  time.Time `json:"oldest"`
	Samples int       `json:"samples"`
	OnDisk  bool      `json:"on_disk"`
}

// Cursor is where a destination is.
type Cursor struct {
	Destination string `json:"destination"`
	Slot        int    `json:"slot"` // index in Ring.Slots
}

// Seconds is a time span that JSON shows as a number.
type Seconds float64
