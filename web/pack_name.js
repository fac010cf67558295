// Writes into each node of this pack which pack it is from, as ComfyUI Manager does. A person who opens a workflow without
// the pack is then offered to install it.

import { app } from '../../scripts/app.js'

const NAME = 'joint-diffusion' // in the registry, as in pyproject.toml
const FOLDER = decodeURIComponent(new URL(import.meta.url).pathname.split('/').at(-2))

app.registerExtension({
  name: 'jointDiffusion.packName',
  nodeCreated(node) {
    if (node.constructor.nodeData?.python_module === `custom_nodes.${FOLDER}`) node.properties.cnr_id ??= NAME
  },
})
