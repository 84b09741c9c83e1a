// @summary@.
//
// virt-hooks runs this at @points@; which of them it is stands in _hook_point. Exit code 0: fine;
// 1: failed, the next hook runs; 2: failed, no further hook runs.
package main

import (
%if edits
	"errors"
%end
	"fmt"
	"os"
%if edits
	"strings"
%end
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "@name@:", err)
		os.Exit(2)
	}
}

func run() error {
%if property
	value := os.Getenv("@property@")
	if value == "" {
		return nil
	}
%else
	value := os.Getenv("_hook_point")
%end
%if mixed
	switch os.Getenv("_hook_point") {
	case @edits@:
		return setTitle(value)
	}
%end
%if only-edits
	return setTitle(value)
%end
%if notes
%if-not property
	fmt.Fprintln(os.Stderr, "@name@: called at", value)
%end
%if property
	fmt.Fprintln(os.Stderr, "@name@:", value)
%end
	return nil
%end
}
%if edits

// setTitle gives the domain a title, unless it has one.
func setTitle(title string) error {
	payload := os.Getenv("_hook_domxml")
	content, err := os.ReadFile(payload)
	if err != nil {
		return err
	}
	xml := string(content)
	if strings.Contains(xml, "<title>") {
		return nil
	}
	if !strings.Contains(xml, "</name>") {
		return errors.New("the domain has no name, after which a title could stand")
	}
	title = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(title)
	xml = strings.Replace(xml, "</name>", "</name>\n  <title>"+title+"</title>", 1)
	return os.WriteFile(payload, []byte(xml), 0o600)
}
%end
