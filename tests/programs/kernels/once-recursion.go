// once-recursion: loading the plugins asks for the plugin registry, whose sync.Once is still loading them.
//
//goflow:class resource-deadlock
//goflow:expect circular-wait deadlock
package main

import "sync"

type plugin struct{ name, parent string }

type pluginRegistry struct {
	once    sync.Once
	plugins map[string]*plugin
}

var pluginsLoaded pluginRegistry

func (r *pluginRegistry) lookup(name string) *plugin {
	r.once.Do(r.load) // stuck
	return r.plugins[name]
}

func (r *pluginRegistry) load() {
	r.plugins = map[string]*plugin{}
	for _, p := range []*plugin{{name: "base"}, {name: "auth", parent: "base"}} {
		if p.parent != "" && pluginsLoaded.lookup(p.parent) == nil {
			continue
		}
		r.plugins[p.name] = p
	}
}

func onceRecursion() {
	pluginsLoaded.lookup("auth")
}

func init() { kernels["once-recursion"] = onceRecursion }
