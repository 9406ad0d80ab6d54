package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestIdentify(t *testing.T) {
	project, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	bsd := "Redistribution and use in source\nand binary forms, with or without modification, are permitted"
	for text, want := range map[string][]string{
		string(project): {"Apache-2.0"},
		"Permission is hereby granted,\n  free of charge, to any person": {"MIT"},
		bsd: {"BSD-2-Clause"},
		bsd + " ... may be used to endorse or promote products\nderived from": {"BSD-3-Clause"},
		"All rights reserved.": nil,
		"":                     nil,
	} {
		if got := identify(text); !slices.Equal(got, want) {
			t.Errorf("%.60q: %v, want %v", text, got, want)
		}
	}
}

// This test's own program is made of the standard library alone.
func TestOwnProgram(t *testing.T) {
	modules, err := modulesOf(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	var got bom
	if err := json.Unmarshal(document("test", "1", modules), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Components) == 0 || got.Components[0].Name != "std" || got.Components[0].Licenses[0].License.ID != "BSD-3-Clause" {
		t.Errorf("%+v", got.Components)
	}
	if text := texts("test", modules); !strings.Contains(text, "\nstd ") || !strings.Contains(text, "Redistribution and use") {
		t.Errorf("%.300s", text)
	}
}

func TestModuleWithoutLicence(t *testing.T) {
	dir := t.TempDir()
	m := module{path: "example.com/m"}
	if err := m.read(dir); err == nil || !strings.Contains(err.Error(), "has no licence") {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "LICENSE"), []byte("Do what you like."), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := m.read(dir); err == nil || !strings.Contains(err.Error(), "no licence that is known") {
		t.Error(err)
	}
}

// A text that modules share is there once, under all of their names.
func TestTexts(t *testing.T) {
	shared := file{"LICENSE", "do as you like\n"}
	got := texts("p", []module{{path: "a", version: "v1", files: []file{shared}}, {path: "b", version: "v2", files: []file{shared, {"NOTICE", "by b"}}}})
	if strings.Count(got, "do as you like") != 1 || !strings.Contains(got, "a v1 (LICENSE)\nb v2 (LICENSE)\n\ndo as you like") || !strings.Contains(got, "b v2 (NOTICE)\n\nby b") {
		t.Error(got)
	}
}
