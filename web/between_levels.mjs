// What a zoom stack shows at any zoom: the formulas of core/zoom/between_levels.py, for a picture that may also be
// moved aside. No DOM here.
//
// A position is {zoom, x, y}: the zoom in levels, and how far the zoom centre lies from where it belongs, in sides of
// the frame. Spans are fractions of the frame.

export const FADE = 0.5 // levels of zoom over which a finer level appears where it is not at its border
export const FEATHER = 0.25 // widest border over which it does, in sides of the finer level

const clamp = (value, least, most) => Math.min(Math.max(value, least), most)
const smoothstep = (t) => t * t * (3 - 2 * t)

/** Where a level lies along one axis; `centre` is the zoom centre there, `moved` how far the picture is moved. */
export function levelSpan(centre, zoom_factor, zoom, level, moved = 0) {
  const length = zoom_factor ** (zoom - level)
  return { start: centre * (1 - length) + moved, length }
}

/** How much of a level is seen away from its border: all of it once the zoom has come FADE beyond the level before. */
export function appearance(zoom, level) {
  return smoothstep(clamp((zoom - level + 1) / FADE, 0, 1))
}

/** Width of the soft border at the start and at the end of a level. */
export function borders({ start, length }) {
  const widest = FEATHER * length
  return [clamp(start, 0, widest), clamp(1 - start - length, 0, widest)]
}

/** Opacity over a soft border as colour stops: [place from 0 at the edge to 1 inside, opacity]. */
export const RAMP = Array.from({ length: 17 }, (_, step) => [step / 16, smoothstep(step / 16)])

/** The levels to draw, from coarse to fine: the last that covers the frame, and the finer ones over it. */
export function layers({ count, zoom_factor, centre }, position) {
  const covers = ({ start, length }) => start <= 1e-9 && start + length >= 1 - 1e-9
  const seen = ({ start, length }) => start < 1 && start + length > 0
  const drawn = []
  for (let level = Math.min(Math.floor(position.zoom) + 1, count - 1); level >= 0; level--) {
    const x = levelSpan(centre.x, zoom_factor, position.zoom, level, position.x)
    const y = levelSpan(centre.y, zoom_factor, position.zoom, level, position.y)
    const opacity = appearance(position.zoom, level)
    if (opacity > 0 && seen(x) && seen(y)) drawn.unshift({ level, x, y, opacity })
    if (opacity === 1 && covers(x) && covers(y)) break
  }
  return drawn
}

/** The nearest position that exists: inside the stack, and moved no further than the level before this one shows. */
export function limited({ count, zoom_factor, centre }, { zoom, x, y }) {
  const inside = clamp(zoom, 0, count - 1)
  const beyond = zoom_factor ** Math.min(inside, 1) - 1 // sides of the frame that the level before shows around it
  const along = (moved, at) => clamp(moved, -(1 - at) * beyond, at * beyond)
  return { zoom: inside, x: along(x, centre.x), y: along(y, centre.y) }
}

/** The position some levels further in (or out, below 0), keeping what lies at (x, y) of the frame where it is. */
export function zoomedAt(stack, position, levels, at) {
  const zoom = clamp(position.zoom + levels, 0, stack.count - 1)
  const larger = stack.zoom_factor ** (zoom - position.zoom)
  const along = (axis) => at[axis] - stack.centre[axis] - (at[axis] - stack.centre[axis] - position[axis]) * larger
  return limited(stack, { zoom, x: along('x'), y: along('y') })
}
