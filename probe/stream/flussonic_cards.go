package stream

import (
	"context"
	"net"
	"net/http/httptrace"

	"headend-agent/probe"
)

var cardTree = tree{"strength": leaf(0), "snr": leaf(1), "ber": leaf(2), "has_lock": leaf(3)}

// readCards reads the signal of the tuners that the server holds, and what it calls them.
func (f *flussonic) readCards(ctx context.Context, c *client, run *run) error {
	mark := run.out.Mark()
	here := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { here = sameMachine(i.Conn) }})
	names := map[probe.Tuner]string{}
	err := c.json(ctx, f.base+"/dvb_cards?limit=256", func(s *scanner) {
		for k := range s.fields() {
			if string(k) == "dvb_cards" {
				each(s, func() { readCard(s, run, names) })
			} else {
				s.skip()
			}
		}
	})
	if err != nil {
		run.out.Rewind(mark)
		return err
	}
	if !here {
		names = nil // another machine's adapters have the same numbers
	}
	f.tuners.Replace(run.server, names)
	return nil
}

// sameMachine tells whether conn leads to this machine: to loopback, or from one of its addresses to the same.
func sameMachine(conn net.Conn) bool {
	to, ok := conn.RemoteAddr().(*net.TCPAddr)
	from, ok2 := conn.LocalAddr().(*net.TCPAddr)
	return ok && ok2 && (to.IP.IsLoopback() || to.IP.Equal(from.IP))
}

// readCard reads a card that is in use, and adds its name to names. adapter and frontend are Linux' numbers only where hw is dvb.
func readCard(s *scanner, run *run, names map[probe.Tuner]string) {
	var v [4]value
	var off value
	var name, adapter, frontend string
	hardware := "dvb"
	for k := range s.fields() {
		switch string(k) {
		case "name":
			s.string(&name)
		case "hw":
			s.string(&hardware)
		case "adapter":
			s.string(&adapter)
		case "frontend":
			s.string(&frontend)
		case "disabled":
			off.v, off.ok = s.number()
		case "stats":
			cardTree.take(s, v[:])
		default:
			s.skip()
		}
	}
	if off.v == 1 {
		return
	}
	name = cutName(name)
	if hardware != "dvb" {
		adapter, frontend = "", ""
	}
	if t, ok := probe.ParseTuner(adapter, frontend); ok && names[t] == "" {
		names[t] = name
	}
	addSome(run.out, serverDVBStrength, v[0].over(100), run.server, name, adapter, frontend)
	addSome(run.out, serverDVBSNR, v[1].over(100), run.server, name, adapter, frontend)
	addSome(run.out, serverDVBBER, v[2], run.server, name, adapter, frontend)
	addSome(run.out, serverDVBLock, v[3], run.server, name, adapter, frontend)
}

// Inherit takes over what a Flussonic called the tuners: their series keep their names over a reload.
func (s *server) Inherit(before probe.Probe) {
	old, ok := before.(*server)
	if !ok {
		return
	}
	old.Close()
	f, ok := s.api.(*flussonic)
	g, ok2 := old.api.(*flussonic)
	if ok && ok2 {
		f.tuners.Replace(s.label, g.tuners.Of(old.label))
	}
}
