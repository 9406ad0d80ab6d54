package main

import (
	"fmt"
	"slices"
	"strings"
)

// identify names the licences that a text grants, by sentences that each of them has and no other.
func identify(text string) []string {
	text = strings.Join(strings.Fields(text), " ")
	var ids []string
	for _, l := range []struct{ id, has, not string }{
		{"Apache-2.0", "Apache License, Version 2.0", ""},
		{"Apache-2.0", "Apache License Version 2.0", ""},
		{"MIT", "Permission is hereby granted, free of charge", ""},
		{"ISC", "Permission to use, copy, modify, and/or distribute", ""},
		{"MPL-2.0", "Mozilla Public License Version 2.0", ""},
		{"BSD-3-Clause", "may be used to endorse or promote products derived", ""},
		{"BSD-2-Clause", "Redistribution and use in source and binary forms", "may be used to endorse or promote products derived"},
	} {
		if strings.Contains(text, l.has) && (l.not == "" || !strings.Contains(text, l.not)) && !slices.Contains(ids, l.id) {
			ids = append(ids, l.id)
		}
	}
	return ids
}

// texts joins the licences and notices of all modules; a text that several share is there once.
func texts(name string, modules []module) string {
	var order []string
	owners := map[string][]string{}
	for _, m := range modules {
		for _, f := range m.files {
			text := strings.TrimRight(f.text, "\n\t ")
			if owners[text] == nil {
				order = append(order, text)
			}
			owners[text] = append(owners[text], fmt.Sprintf("%s %s (%s)", m.path, m.version, f.name))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s contains the Go modules below, each under the terms that follow its name.\n", name)
	for _, text := range order {
		fmt.Fprintf(&b, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(owners[text], "\n"), text)
	}
	return b.String()
}
