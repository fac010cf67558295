// Puts the zoom explorer into its node, in the classic canvas and in Nodes 2.0.

import { app } from '../../scripts/app.js'
import { api } from '../../scripts/api.js'
import { zoomExplorer } from './zoom_explorer.mjs'

const NODE = 'ExploreZoomStack'
const LEAST = [420, 480]
const restorers = new WeakMap() // node: () => void

async function picture({ filename, subfolder, type }) {
  const image = new Image()
  image.src = api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`)
  await image.decode()
  return image
}

/** Let the front end see that the graph has changed, so that the position is there after the page is loaded again. */
function noticeChange() {
  app.canvas.emitBeforeChange()
  app.canvas.emitAfterChange()
}

/** The front end zooms the graph with two fingers wherever they are, and hears of them before the explorer does. */
function keepTouches(event) {
  if (event.target.closest?.('.zoom-explorer')) event.stopPropagation()
}

function attach(node) {
  const explorer = zoomExplorer((position) => (node.properties.zoomPosition = position), noticeChange)
  let shown = null

  async function show(output) {
    if (!output?.zoom_levels || output.zoom_levels === shown) return
    shown = output.zoom_levels
    try {
      const pictures = await Promise.all(output.zoom_levels.map(picture))
      if (shown !== output.zoom_levels) return // queued again meanwhile
      explorer.show({ ...output.zoom_stack[0], pictures }, node.properties.zoomPosition)
    } catch {
      explorer.say('The levels are no longer there. Queue again.')
    }
  }

  const widget = node.addDOMWidget('explorer', 'ZOOM_EXPLORER', explorer.element, {
    serialize: false,
    hideOnZoom: false,
    hideInPanel: true, // the properties panel would give it the width of the panel, in the node as well
    getMinHeight: () => 240,
  })
  widget.serialize = false
  node.setSize([Math.max(node.size[0], LEAST[0]), Math.max(node.size[1], LEAST[1])])

  const { onExecuted, onRemoved } = node
  node.onExecuted = function (output) {
    onExecuted?.apply(this, arguments)
    show(output)
  }
  node.onRemoved = function () {
    explorer.stop()
    onRemoved?.apply(this, arguments)
  }
  restorers.set(node, () => show(app.nodeOutputs?.[outputKey(node)]))
}

// Nodes of a subgraph have ids of their own, which mean nothing without it.
const outputKey = ({ id, graph }) => (graph.isRootGraph ? String(id) : `${graph.id}:${id}`)

function restore() {
  const root = app.rootGraph ?? app.graph
  const graphs = root ? [root, ...(root.subgraphs?.values() ?? [])] : []
  for (const node of graphs.flatMap((graph) => graph.nodes)) restorers.get(node)?.()
}

app.registerExtension({
  name: 'jointDiffusion.exploreZoomStack',
  setup() {
    for (const name of ['touchstart', 'touchmove', 'touchend', 'touchcancel'])
      window.addEventListener(name, keepTouches, { capture: true, passive: true })
  },
  nodeCreated(node) {
    if (node.constructor.comfyClass === NODE) attach(node)
  },
  // A tab that is shown again gets its outputs back only after this, and without onExecuted.
  afterConfigureGraph() {
    setTimeout(restore, 500)
  },
  afterLoadGraph: restore,
})
