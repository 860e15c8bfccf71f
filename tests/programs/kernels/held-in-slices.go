// held-in-slices: the cells of a grid wait on channels in a slice of slices, over which a slow clock goes.
//
//goflow:class correct
package main

import "time"

type gridCell struct {
	step  chan int
	steps int
}

func (c *gridCell) run() {
	for n := range c.step {
		c.steps += n
	}
}

func clockGrid(grid [][]chan int, pause time.Duration) {
	for n := 0; ; n++ {
		for _, row := range grid {
			for _, step := range row {
				step <- n
			}
		}
		time.Sleep(pause)
	}
}

func heldInSlices() {
	grid := make([][]chan int, 3)
	for y := range grid {
		for x := 0; x < 4; x++ {
			cell := &gridCell{step: make(chan int)}
			grid[y] = append(grid[y], cell.step)
			go cell.run()
		}
	}
	clockGrid(grid, 9*time.Second)
}

func init() { kernels["held-in-slices"] = heldInSlices }
