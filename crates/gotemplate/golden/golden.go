// Writes golden.json anew: the answers of Go's text/template and text/tabwriter to its cases. Run where Go is at hand; CI does
// not need it:
//
//	go run tests/gotemplate/golden.go < tests/gotemplate/golden.json > new.json
//
// A case is [template, "ok", output] or [template, "error", message]. A new case needs the template alone.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"text/template"
)

type golden struct {
	About string
	Go    string
	Data  map[string]interface{}
	Cases [][]string
	Tabs  [][]string
}

// The functions that docker-machine's inspect has, and those of docker's --format.
var functions = template.FuncMap{
	"json": func(v interface{}) string {
		text, _ := json.Marshal(v)
		return string(text)
	},
	"prettyjson": func(v interface{}) string {
		text, _ := json.MarshalIndent(v, "", "    ")
		return string(text)
	},
	"split": strings.Split,
	"lower": strings.ToLower,
	"upper": strings.ToUpper,
	"title": strings.Title,
	"join": func(list []interface{}, separator string) string {
		words := make([]string, len(list))
		for i, word := range list {
			words[i] = word.(string)
		}
		return strings.Join(words, separator)
	},
}

func answer(text string, data interface{}) []string {
	parsed, err := template.New("").Funcs(functions).Parse(text)
	if err != nil {
		return []string{text, "error", err.Error()}
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, data); err != nil {
		return []string{text, "error", err.Error()}
	}
	return []string{text, "ok", out.String()}
}

func tabs(text string) []string {
	var out bytes.Buffer
	writer := tabwriter.NewWriter(&out, 5, 1, 3, ' ', 0)
	io.WriteString(writer, text)
	writer.Flush()
	return []string{text, out.String()}
}

func line(v interface{}) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err)
	}
	return strings.TrimRight(out.String(), "\n")
}

func main() {
	var g golden
	if err := json.NewDecoder(os.Stdin).Decode(&g); err != nil {
		panic(err)
	}
	g.Go = runtime.Version()
	fmt.Printf("{\"About\":%s,\n\"Go\":%s,\n\"Data\":%s,\n\"Cases\":[\n", line(g.About), line(g.Go), line(g.Data))
	for i, c := range g.Cases {
		comma := ","
		if i == len(g.Cases)-1 {
			comma = ""
		}
		fmt.Printf("%s%s\n", line(answer(c[0], g.Data)), comma)
	}
	fmt.Printf("],\n\"Tabs\":[\n")
	for i, c := range g.Tabs {
		comma := ","
		if i == len(g.Tabs)-1 {
			comma = ""
		}
		fmt.Printf("%s%s\n", line(tabs(c[0])), comma)
	}
	fmt.Printf("]}\n")
}
