package sim

import (
	"maps"
	"syscall"
	"time"
)

// happen makes an event happen. It returns what ends it, or nil.
func (w *world) happen(e Event) (end func()) {
	w.say("event: %s for %s, on %d, sizes %d %d", e.Kind, e.For, e.On, e.N, e.M)
	d := w.destinations[e.On%len(w.destinations)]
	s := w.sources[e.On%len(w.sources)]
	for _, table := range []map[string]func(Event, *destination, *source) func(){w.processEvents(), w.diskEvents(), w.worldEvents()} {
		if f := table[e.Kind]; f != nil {
			return f(e, d, s)
		}
	}
	panic("no event " + e.Kind)
}

type eventTable = map[string]func(Event, *destination, *source) func()

// delay is a time that an event's size stands for.
func (e Event) delay(most time.Duration) time.Duration {
	return time.Duration(e.N%1000+1) * most / 1000
}

func (w *world) processEvents() eventTable {
	return eventTable{
		"kill": func(e Event, _ *destination, _ *source) func() {
			w.killProcess()
			w.later(e.delay(10*time.Second), w.start)
			return nil
		},
		"kill_inside": func(e Event, _ *destination, _ *source) func() {
			w.killInside(1+e.N%100, func() { w.later(e.delay(10*time.Second), w.start) })
			return nil
		},
		"power_inside": func(e Event, _ *destination, _ *source) func() {
			w.killInside(1+e.N%100, func() { w.loseThePower(e, nil) })
			return nil
		},
		"restart": func(Event, *destination, *source) func() { go w.restart(func() {}); return nil },
		"reload":  func(Event, *destination, *source) func() { go w.reload(); return nil },
		"resize_ring": func(e Event, _ *destination, _ *source) func() {
			go w.restart(func() {
				w.locked(func() {
					w.sizeMiB = []int{2, 3, 4, 8, 16}[e.N%5]
					w.largestMiB = max(w.largestMiB, w.sizeMiB)
				})
			})
			w.allCauses("overflow")
			return nil
		},
		"labels": func(Event, *destination, *source) func() {
			w.locked(func() { w.generation++; w.labelled = w.clock.elapsed() })
			go w.reload()
			return nil
		},
		"relabel": func(Event, *destination, *source) func() {
			w.locked(func() { w.relabel = !w.relabel })
			go w.reload()
			return nil
		},
		"drop_destination": func(_ Event, d *destination, _ *source) func() {
			if p := w.current(); p != nil && !d.removed { // its counters go with it
				w.account(p, d)
			}
			w.locked(func() { d.removed, d.causes["overflow"] = true, true }) // memory is kept for nobody
			go w.reload()
			return func() {
				w.ledger.each(d.name, func(_ *series, _ *entry, f *fate) {
					if f.flags&acked == 0 {
						f.flags |= mayBeLost | mayRepeat
					}
				})
				w.locked(func() { d.removed = false })
				go w.reload()
			}
		},
		"second_agent": func(Event, *destination, *source) func() {
			w.locked(func() { w.trouble.disk.begin(w.clock.elapsed()); w.trouble.wal.begin(w.clock.elapsed()) })
			close := w.secondAgent()
			return func() {
				close()
				w.forgetAcknowledged() // it has written what it had found, as far as it knew
				w.locked(func() { w.trouble.disk.end(w.clock.elapsed()); w.trouble.wal.end(w.clock.elapsed()) })
			}
		},
		"newer_format": func(Event, *destination, *source) func() {
			w.locked(func() { w.trouble.disk.begin(w.clock.elapsed()) })
			newer := ringDir + "/v9"
			go w.restart(func() { w.disk.locked(func() { w.disk.dirs[ringDir], w.disk.dirs[newer] = true, true }) })
			return func() {
				go w.restart(func() {
					w.disk.locked(func() {
						delete(w.disk.dirs, newer)
						delete(w.disk.dirs, movedDir+"/v9") // the directory may be away
					})
				})
				w.locked(func() { w.trouble.disk.end(w.clock.elapsed()) })
			}
		},
	}
}

func (d *disk) locked(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

func (w *world) diskEvents() eventTable {
	// bad breaks something of the disk for a while.
	bad := func(change, back func(m *mount)) func() {
		w.locked(func() { w.trouble.disk.begin(w.clock.elapsed()) })
		w.disk.locked(func() { change(&w.disk.ring) })
		return func() {
			w.disk.locked(func() { back(&w.disk.ring) })
			w.locked(func() { w.trouble.disk.end(w.clock.elapsed()) })
		}
	}
	return eventTable{
		"power_loss": func(e Event, _ *destination, _ *source) func() { w.loseThePower(e, nil); return nil },
		"snapshot": func(Event, *destination, *source) func() {
			r := w.fork()
			w.locked(func() { w.snapshot, w.snapshotAt = w.disk.snapshot(r), w.clock.elapsed() })
			return nil
		},
		"restore": func(e Event, _ *destination, _ *source) func() {
			if w.snapshot != nil {
				w.loseThePower(e, w.snapshot)
				w.snapshot = nil
			}
			return nil
		},
		"disk_full": func(e Event, _ *destination, _ *source) func() {
			return bad(func(m *mount) { m.full, m.files = true, e.M%2 == 0 }, func(m *mount) { m.full = false })
		},
		"disk_eio": func(Event, *destination, *source) func() {
			w.allCauses("damaged") // a part of a write
			return bad(func(m *mount) { m.write = syscall.EIO }, func(m *mount) { m.write = 0 })
		},
		"disk_readonly": func(Event, *destination, *source) func() {
			return bad(func(m *mount) { m.write = syscall.EROFS }, func(m *mount) { m.write = 0 })
		},
		"disk_denied": func(Event, *destination, *source) func() {
			return bad(func(m *mount) { m.open = syscall.EACCES }, func(m *mount) { m.open = 0 })
		},
		"disk_read_error": func(Event, *destination, *source) func() {
			return bad(func(m *mount) { m.read = syscall.EIO }, func(m *mount) { m.read = 0 })
		},
		"sync_fails": func(Event, *destination, *source) func() {
			w.allCauses("damaged")
			return bad(func(m *mount) { m.sync = syscall.EIO }, func(m *mount) { m.sync = 0 })
		},
		"disk_slow": func(e Event, _ *destination, _ *source) func() {
			return bad(func(m *mount) { m.slow = e.delay(20 * time.Second) }, func(m *mount) { m.slow = 0 })
		},
		"disk_moved": func(Event, *destination, *source) func() {
			moved := w.clock.elapsed()
			end := bad(func(*mount) {}, func(*mount) {})
			if !w.disk.move(ringDir, movedDir) {
				return end
			}
			return func() {
				if !w.disk.move(movedDir, ringDir) { // the agent has made a new one: the administrator prefers the old one
					w.restart(func() {
						w.forget(moved - w.exposure())
						w.disk.remove(ringDir)
						w.disk.move(movedDir, ringDir)
					})
				}
				end()
			}
		},
		"run_full": func(e Event, _ *destination, _ *source) func() {
			w.locked(func() { w.trouble.wal.begin(w.clock.elapsed()) })
			w.disk.locked(func() { w.disk.run.full, w.disk.run.files = true, e.M%2 == 0 })
			return func() {
				w.disk.locked(func() { w.disk.run.full = false })
				w.locked(func() { w.trouble.wal.end(w.clock.elapsed()) })
			}
		},
	}
}

// loseThePower ends everything at once. With a snapshot the machine comes back as it was then.
func (w *world) loseThePower(e Event, snapshot map[string]*node) {
	w.locked(func() { w.absent = true })
	if p := w.current(); p != nil {
		p.kill()
		w.inHandGoes(p)
	}
	w.powerGoes()
	w.allCauses("clock")
	w.locked(func() { w.powerLost = true })
	w.disk.powerLoss(w.fork())
	if snapshot != nil {
		w.forget(w.snapshotAt - w.exposure() - retryTime)
		w.disk.restore(maps.Clone(snapshot))
	}
	for _, d := range w.destinations {
		d.receiver.link.cut()
	}
	sure := w.clock.elapsed()
	w.locked(func() {
		if since, bad := w.trouble.disk.from(sure); bad {
			sure = since
		}
	})
	w.clock.reboot(!w.plan.Setup.NoBattery, sure-recordDelay)
	if snapshot != nil {
		w.clock.restored(w.snapshotAt)
	}
	if w.plan.Setup.NoBattery {
		w.later(e.delay(3*time.Minute), w.clock.set)
	}
	w.later(time.Second+e.delay(time.Minute), func() {
		w.locked(func() { w.absent = false })
		w.start()
	})
}

func (w *world) worldEvents() eventTable {
	// line changes the way to a receiver, manners the receiver, for a while.
	line := func(d *destination, change func(*link)) func() {
		l := d.receiver.link
		l.mu.Lock()
		change(l)
		l.mu.Unlock()
		return l.heal
	}
	manners := func(d *destination, change func(*manner), causes ...string) func() {
		w.locked(func() {
			for _, c := range causes {
				d.causes[c] = true
			}
		})
		d.receiver.behave(change)
		return d.receiver.heal
	}
	sizes := []int{1, 7, 100, 1000, 5000, 20_000}
	return eventTable{
		"step": func(e Event, _ *destination, _ *source) func() {
			by := []time.Duration{2 * time.Minute, time.Hour, 24 * time.Hour, 30 * 24 * time.Hour}[e.N%4]
			if e.M%2 == 0 {
				by = -by
			}
			w.clock.step(by)
			if e.M%3 == 0 {
				return nil
			}
			return func() { w.clock.step(-by) }
		},
		"small_step": func(e Event, _ *destination, _ *source) func() {
			w.clock.step(time.Duration(e.N%100-50) * time.Second)
			return nil
		},
		"drift": func(e Event, _ *destination, _ *source) func() { w.clock.run(float64(e.N%1000 - 500)); return nil },
		"unset": func(Event, *destination, *source) func() {
			w.clock.step(time.Unix(2000, 0).Sub(w.clock.wall()))
			w.allCauses("clock")
			return w.clock.set
		},
		"refuse": func(_ Event, d *destination, _ *source) func() { // its connections go with a server
			end := line(d, func(l *link) { l.refuse = true })
			d.receiver.link.cut()
			return end
		},
		"no_name":   func(_ Event, d *destination, _ *source) func() { return line(d, func(l *link) { l.noName = true }) },
		"blackhole": func(_ Event, d *destination, _ *source) func() { return line(d, func(l *link) { l.blackhole = true }) },
		"deaf":      func(_ Event, d *destination, _ *source) func() { return line(d, func(l *link) { l.deaf = true }) },
		"far": func(e Event, d *destination, _ *source) func() {
			return line(d, func(l *link) { l.latency = e.delay(3 * time.Second) })
		},
		"thin": func(e Event, d *destination, _ *source) func() {
			return line(d, func(l *link) { l.bandwidth, l.proxied = float64(1000+e.N%40_000), e.M%2 == 0 })
		},
		"cut": func(_ Event, d *destination, _ *source) func() { d.receiver.link.cut(); return nil },
		"status": func(e Event, d *destination, _ *source) func() {
			return manners(d, func(m *manner) {
				m.Status = []int{500, 503, 429, 429, 502, 504, 401, 403, 404, 408, 302, 413}[e.N%12]
				m.HTML, m.RetryAfter = e.M%2 == 0, []int{0, 1, 30, 3600}[e.M%4]
			})
		},
		"too_large": func(e Event, d *destination, _ *source) func() {
			return manners(d, func(m *manner) { m.Status, m.HTML = 413, e.M%2 == 0 })
		},
		"portal": func(e Event, d *destination, _ *source) func() {
			if e.M%2 == 0 {
				return manners(d, func(m *manner) { m.Portal = "html" })
			}
			return manners(d, func(m *manner) { m.Portal = "plain" })
		},
		"most_samples": func(e Event, d *destination, _ *source) func() {
			return manners(d, func(m *manner) { m.MostSamples, m.TooMuch = sizes[e.N%6], []int{429, 504, 413, 503}[e.M%4] })
		},
		"most_bytes": func(e Event, d *destination, _ *source) func() {
			return manners(d, func(m *manner) { m.MostBytes, m.TooMuch = 700+sizes[e.N%6]*4, 413 })
		},
		"slow_by_sample": func(e Event, d *destination, _ *source) func() {
			return manners(d, func(m *manner) { m.SlowBySample = time.Minute / time.Duration(sizes[1+e.N%5]) })
		},
		"slow": func(e Event, d *destination, _ *source) func() {
			return manners(d, func(m *manner) { m.Slow = e.delay(40 * time.Second) })
		},
		"oldest_age": func(e Event, d *destination, _ *source) func() {
			return manners(d, func(m *manner) { m.OldestAge, m.Quiet = e.delay(20*time.Minute), e.M%2 == 0 }, "refused", "indeterminate", "series_refused")
		},
		"poisoned": func(e Event, d *destination, _ *source) func() {
			return manners(d, func(m *manner) { m.Poisoned, m.Quiet = 1+e.N%30, e.M%2 == 0 }, "refused", "indeterminate", "series_refused")
		},
		"store_refuse": func(_ Event, d *destination, _ *source) func() {
			w.locked(func() { d.lies = true })
			return manners(d, func(m *manner) { m.StoreRefuse = true }, "refused", "indeterminate", "series_refused")
		},
		"lose_answers": func(e Event, d *destination, _ *source) func() {
			return manners(d, func(m *manner) { m.LoseAnswer = 1 + e.N%4 })
		},
		"protocol": func(e Event, d *destination, _ *source) func() {
			was := ""
			end := manners(d, func(m *manner) { was, m.Protocols = m.Protocols, []string{"both", "v1", "v2"}[e.N%3] })
			return func() { end(); d.receiver.behave(func(m *manner) { m.Protocols = was }) }
		},
		"churn":  func(e Event, _ *destination, s *source) func() { s.churn(1 + e.N%50); return nil },
		"shrink": func(e Event, _ *destination, s *source) func() { s.resize(1 + e.N%20); return nil },
		"grow": func(e Event, _ *destination, s *source) func() {
			if s.own {
				return nil
			}
			was := s.size()
			s.resize(was + 1 + e.N%2000)
			return func() { s.resize(was) }
		},
		"churning": func(e Event, _ *destination, s *source) func() {
			over := w.clock.elapsed() + e.For
			each := 1 + e.N%30
			if e.M%3 == 0 { // as containers do: the dictionary is soon one of the past
				each = max(each, min(s.size(), 200))
			}
			var again func()
			again = func() {
				if s.churn(each); w.clock.elapsed() < over {
					w.later(s.interval, again)
				}
			}
			again()
			return nil
		},
		"break": func(_ Event, _ *destination, s *source) func() {
			s.change(func(s *source) { s.broken = true })
			return func() { s.change(func(s *source) { s.broken = false }) }
		},
		"hang": func(e Event, _ *destination, s *source) func() {
			s.change(func(s *source) { s.hangs, s.deaf = e.delay(10*time.Minute), e.M%2 == 0 })
			return func() { s.change(func(s *source) { s.hangs = 0 }) }
		},
	}
}
