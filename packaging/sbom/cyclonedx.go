package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
)

// The parts of CycloneDX 1.5 that are used. No serial number and no time: two builds give the same bytes.
type bom struct {
	Format      string      `json:"bomFormat"`
	SpecVersion string      `json:"specVersion"`
	Version     int         `json:"version"`
	Metadata    metadata    `json:"metadata"`
	Components  []component `json:"components"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type     string    `json:"type"`
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	PURL     string    `json:"purl,omitempty"`
	Hashes   []hash    `json:"hashes,omitempty"`
	Licenses []license `json:"licenses,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type license struct {
	License struct {
		ID string `json:"id"`
	} `json:"license"`
}

// document is the CycloneDX text. A hash is that of go.sum: SHA-256 over the hashes of the module's files.
func document(name, version string, modules []module) []byte {
	b := bom{
		Format: "CycloneDX", SpecVersion: "1.5", Version: 1,
		Metadata: metadata{component{Type: "application", Name: name, Version: version, Licenses: licenses("Apache-2.0")}},
	}
	for _, m := range modules {
		c := component{
			Type: "library", Name: m.path, Version: m.version, PURL: "pkg:golang/" + m.path + "@" + m.version, Licenses: licenses(m.licences...),
		}
		if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.sum, "h1:")); err == nil && len(sum) > 0 {
			c.Hashes = []hash{{"SHA-256", hex.EncodeToString(sum)}}
		}
		b.Components = append(b.Components, c)
	}
	text, err := json.MarshalIndent(b, "", " ")
	if err != nil {
		panic(err) // strings only
	}
	return append(text, '\n')
}

func licenses(ids ...string) []license {
	all := make([]license, len(ids))
	for i, id := range ids {
		all[i].License.ID = id
	}
	return all
}
