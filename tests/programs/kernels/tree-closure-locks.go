// tree-closure-locks: one walk locks parent before child and another child before parent, both through a helper that takes a closure.
//
//goflow:class resource-deadlock
//goflow:expect circular-wait
package main

import "sync"

type treeNode struct {
	mu     sync.Mutex
	parent *treeNode
	size   int
}

func withNode(node *treeNode, do func()) {
	node.mu.Lock() // stuck: 2
	defer node.mu.Unlock()
	do()
}

func treeClosureLocks() {
	root := &treeNode{size: 1}
	leaf := &treeNode{parent: root, size: 1}
	down, up := make(chan bool), make(chan bool)
	go withNode(root, func() {
		close(down)
		<-up
		withNode(leaf, func() { leaf.size += root.size })
	})
	go withNode(leaf, func() {
		close(up)
		<-down
		withNode(leaf.parent, func() { leaf.parent.size += leaf.size })
	})
	busyWorkers(1)
}

func init() { kernels["tree-closure-locks"] = treeClosureLocks }
