"""The papers' algorithm boxes as slow, literal loops. Nothing here is shared with `core`: it is what `core` must equal.

Images are (C, H, W), one at a time; a model is `denoise(view (C, h, w), sigma) -> (C, h, w)`, and one denoising step
Phi is DDIM without noise in sigma space, x' = D + (s' / s) (x - D), which is also Euler.
"""

from itertools import product

import torch


def ddim_step(view, sigma, sigma_next, denoise):
    """Phi of MSD Eq. 1-2, in sigma space."""
    denoised = denoise(view, sigma)
    noise = (view - denoised) / sigma
    return denoised + sigma_next * noise


def look(canvas, window):
    """F_i: the view cell by cell; indices beyond an edge wrap around."""
    _, height, width = canvas.shape
    view = torch.empty(canvas.shape[0], window.height, window.width, dtype=canvas.dtype)
    for i, j in product(range(window.height), range(window.width)):
        view[:, i, j] = canvas[:, (window.top + i) % height, (window.left + j) % width]
    return view


def fuse(views, windows, shape, weights):
    """MSD Eq. 6, cell by cell; one weight mask for all windows, or a dict of one for each."""
    _, height, width = shape
    masks = weights if isinstance(weights, dict) else dict.fromkeys(windows, weights)
    total, weight_sum = torch.zeros(shape, dtype=views[0].dtype), torch.zeros(height, width, dtype=views[0].dtype)
    for view, window in zip(views, windows, strict=True):
        for i, j in product(range(window.height), range(window.width)):
            row, column = (window.top + i) % height, (window.left + j) % width
            total[:, row, column] += masks[window][i, j] * view[:, i, j]
            weight_sum[row, column] += masks[window][i, j]
    return total / weight_sum


def halve(canvas):
    """ds by 2, block by block; of an odd side the last block is the last two cells."""
    channels, height, width = canvas.shape
    tops, lefts = ([min(start, side - 2) for start in range(0, side, 2)] for side in (height, width))
    out = []
    for i, j in product(tops, lefts):
        block = canvas[:, i : i + 2, j : j + 2]
        out.append(block.mean((1, 2)))
    return torch.stack(out, 1).reshape(channels, len(tops), len(lefts))


def halving(side):
    """The mean of two cells along one axis as a matrix, (ceil(side / 2), side)."""
    matrix = torch.zeros((side + 1) // 2, side, dtype=torch.float64)
    for row in range(matrix.shape[0]):
        start = min(2 * row, side - 2)
        matrix[row, start] = matrix[row, start + 1] = 0.5
    return matrix


def doubling(side, wraps):
    """Bicubic enlargement by 2 along one axis as a matrix, (side, ceil(side / 2)).

    The centre of fine cell j is at (j + 1/2) / 2 - 1/2 in coarse cells. An edge that does not wrap goes on as it is.
    """
    coarse = (side + 1) // 2
    matrix = torch.zeros(side, coarse, dtype=torch.float64)
    for row in range(side):
        at = (row + 0.5) / 2 - 0.5
        for cell in range(-2, coarse + 2):
            column = cell % coarse if wraps else min(max(cell, 0), coarse - 1)
            matrix[row, column] += keys_cubic(at - cell, a=-0.75)
    return matrix


def project(denoised, target, strength, wrap=(False, False)):
    """D + w up(target - down(D)), every operator a matrix."""
    down = [halving(side) for side in denoised.shape[1:]]
    up = [doubling(side, wraps) for side, wraps in zip(denoised.shape[1:], wrap, strict=True)]
    small = torch.einsum("ih,chw,jw->cij", down[0], denoised, down[1])
    return denoised + strength * torch.einsum("hi,cij,wj->chw", up[0], target - small, up[1])


def multidiffusion_step(canvas, sigma, sigma_next, denoise, windows, weights):
    """Eq. 3-6: crop, denoise one step, average."""
    stepped = [ddim_step(look(canvas, window), sigma, sigma_next, denoise) for window in windows]
    return fuse(stepped, windows, canvas.shape, weights)


def msd_step(canvas, sigma, sigma_next, denoise, plan, weights, omega, scales):
    """Algorithm 1 of MSD. `plan(height, width) -> windows`, all on even offsets; `omega` is already decayed."""
    z = [canvas]
    for _ in range(scales - 1):
        z.append(halve(z[-1]))
    z.reverse()  # z[0] is the lowest resolution
    below = multidiffusion_step(z[0], sigma, sigma_next, denoise, plan(*z[0].shape[1:]), weights)
    for image in z[1:]:
        windows = plan(*image.shape[1:])
        stepped = []
        for window in windows:
            rows = slice(window.top // 2, (window.top + window.height) // 2)
            columns = slice(window.left // 2, (window.left + window.width) // 2)
            wanted = below[:, rows, columns]
            view = look(image, window).requires_grad_()
            loss = ((halve(ddim_step(view, sigma, sigma_next, denoise)) - wanted) ** 2).sum()
            loss.backward()
            guided = (view - omega * view.grad).detach()
            stepped.append(ddim_step(guided, sigma, sigma_next, denoise).detach())
        below = fuse(stepped, windows, image.shape, weights)
    return below


def sync_diffusion_step(canvas, sigma, sigma_next, denoise, windows, weights, w, anchor, loss, scale=None):
    """Algorithm 1 of SyncDiffusion in x_t of unit variance, as the paper has it; `w` is already decayed.

    `loss(denoised, denoised_anchor)` contains the decoder. The paper's index 0 is `anchor`. canvas = `scale` * x_t,
    that of models that add noise to x_0 if nothing is said.
    """
    scale = (1 + sigma**2) ** 0.5 if scale is None else scale
    x_t = [look(canvas, window) / scale for window in windows]

    def phi(x_t):
        return denoise(scale * x_t, sigma)

    stepped = []
    for window, view in zip(windows, x_t, strict=True):
        moved = view
        if window != anchor:
            leaf = view.clone().requires_grad_()
            reference = phi(x_t[windows.index(anchor)]).detach()
            loss(phi(leaf), reference).backward()
            moved = view - w * leaf.grad
        stepped.append(ddim_step(scale * moved, sigma, sigma_next, denoise).detach())
    return fuse(stepped, windows, canvas.shape, weights)


def style_of_latent(view):
    """Mean and covariance of the channels, cell by cell."""
    _, height, width = view.shape
    cells = [view[:, i, j] for i, j in product(range(height), range(width))]
    mean = sum(cells) / len(cells)
    covariance = sum(torch.outer(cell - mean, cell - mean) for cell in cells) / len(cells)
    return mean, covariance


def latent_distance(view, anchor):
    """`LatentSimilarity`, which at the weight 40 moves every cell by the difference of the means."""
    (mean, covariance), (anchor_mean, anchor_covariance) = style_of_latent(view), style_of_latent(anchor)
    cells = view.shape[1] * view.shape[2]
    palette = ((mean - anchor_mean) ** 2).sum() / 2
    norms = (covariance**2).sum() ** 0.5 + (anchor_covariance**2).sum() ** 0.5
    texture = ((covariance - anchor_covariance) ** 2).sum() / 4 / norms
    return cells * (palette + texture) / 40


def grid_neighbours(tops, lefts, window, wrap):
    """Where the left and the upper neighbour of a window start; where an edge wraps, the first of row or column too."""
    row, column = tops.index(window.top), lefts.index(window.left)
    if column > 0:
        yield window.top, lefts[column - 1]
    if row > 0:
        yield tops[row - 1], window.left
    if wrap[1] and column == len(lefts) - 1:
        yield window.top, lefts[0]
    if wrap[0] and row == len(tops) - 1:
        yield tops[0], window.left


def crop_fusion(views, windows, canvas_size, lam, wrap=(False, False)):
    """x_i* of TwinDiffusion: minimises Eq. 6 cell by cell, window after window, against the neighbours already done.

    The windows are a grid in reading order; neighbours are the left and the upper window, and at the end of a row or
    column that wraps the first one too.
    """
    height, width = canvas_size
    tops, lefts = sorted({w.top for w in windows}, key=[w.top for w in windows].index), []
    for w in windows:
        lefts += [w.left] if w.left not in lefts else []
    place = {(w.top, w.left): i for i, w in enumerate(windows)}
    done = []
    for index, window in enumerate(windows):
        neighbours = {place[corner] for corner in grid_neighbours(tops, lefts, window, wrap)} - {index}
        optimum = views[index].clone()
        for i, j in product(range(window.height), range(window.width)):
            seen = []
            for n in neighbours:
                row_there = (window.top + i - windows[n].top) % height
                column_there = (window.left + j - windows[n].left) % width
                if row_there < windows[n].height and column_there < windows[n].width:
                    seen.append(done[n][:, row_there, column_there])
            if seen:  # d/dx [sum |seen - x|^2 + lam |x_i - x|^2] = 0
                optimum[:, i, j] = (sum(seen) + lam * views[index][:, i, j]) / (len(seen) + lam)
        done.append(optimum)
    return done


def twin_images(z1, z2, sigmas, denoise, overlap, lam, tau, fixed_reference):
    """Single mode of TwinDiffusion, section 4.1: I1, I2 and I2* from noise with M_r z1 = M_l z2, cell by cell."""
    x1, x2, twin = z1, z2, z2
    steps = len(sigmas) - 1
    for index in range(steps):
        x1, x2, twin = (ddim_step(x, sigmas[index], sigmas[index + 1], denoise) for x in (x1, x2, twin))
        if index / steps >= tau:
            continue
        twin = (x2 if fixed_reference else twin).clone()
        for i, j in product(range(twin.shape[1]), range(overlap)):
            there = twin.shape[2] - overlap + j
            twin[:, i, j] = (x1[:, i, there] + lam * twin[:, i, j]) / (1 + lam)  # the minimum of Eq. 6
    return x1, x2, twin


def synchronise(denoised, windows, mask, k, anchor_of, loss):
    """Direct SyncDiffusion: D - fuse(k grad L(D_i, D_anchor)), window by window; an anchor is left alone."""
    gradients = []
    for window in windows:
        leaf = look(denoised, window).requires_grad_()
        if anchor_of[window] == window:
            gradients.append(torch.zeros_like(leaf))
            continue
        loss(leaf, look(denoised, anchor_of[window])).backward()
        gradients.append(k * leaf.grad)
    return denoised.detach() - fuse(gradients, windows, denoised.shape, mask)


def corrected_prediction(
    canvas, sigma, denoise, plan, mask, scales=1, strength=0.0, flow=False, wrap=(False, False), scale_map=None,
    sync=None, lam=None,
):  # fmt: skip
    """What the sampler steps with: every window looked at once and fused, then synchronised, then projected.

    The coarser canvas is the mean of 2 x 2 cells at the noise level that it has, and is predicted in the same way.

    Args:
        plan: (height, width) -> windows.
        mask: (height, width) of a window -> its weights.
        scale_map: matrix and offset, or None.
        sync: denoised -> denoised, or None.
        lam: lambda of Crop Fusion, or None.
    """
    size = canvas.shape[1:]
    windows = plan(*size)
    views = [denoise(look(canvas, window), sigma) for window in windows]
    if lam is not None:
        views = crop_fusion(views, windows, size, lam, wrap)
    weights = mask(windows[0].height, windows[0].width)
    denoised = fuse(views, windows, canvas.shape, weights)
    if sync is not None:
        denoised = sync(denoised)
    if scales == 1:
        return denoised
    coarse, level = halve(canvas), sigma / 2
    if flow:  # x = (1 - s) x0 + s n again
        total = 1 - sigma + level
        coarse, level = coarse / total, level / total
    target = corrected_prediction(
        coarse, level, denoise, plan, mask, scales - 1, strength, flow, wrap, scale_map, sync, lam
    )
    if scale_map is not None:
        matrix, offset = scale_map
        target = torch.einsum("ij,jhw->ihw", matrix, target) + offset[:, None, None]
    return project(denoised, target, strength, wrap)


def shrink(image, p):
    """D_1 of Generative Powers of Ten with a box as the prefilter, for sides that p divides."""
    channels, height, width = image.shape
    out = torch.empty(channels, height // p, width // p, dtype=image.dtype)
    for i, j in product(range(height // p), range(width // p)):
        out[:, i, j] = image[:, i * p : (i + 1) * p, j * p : (j + 1) * p].mean((1, 2))
    return out


def render(layers, level, p, noise):
    """Algorithm 1 of Generative Powers of Ten: x, or epsilon where `noise`, at one level, mask by mask.

    For sides of which p^(N-1) leaves an even rest, so that every mask is made of whole cells.
    """
    x = layers[level].clone()
    for j in range(level + 1, len(layers)):
        factor = p ** (j - level)
        small = (factor if noise else 1) * shrink(layers[j], factor)
        top, left = (x.shape[1] - small.shape[1]) // 2, (x.shape[2] - small.shape[2]) // 2
        mask = torch.zeros(x.shape[1:], dtype=x.dtype)
        mask[top : top + small.shape[1], left : left + small.shape[2]] = 1
        padded = torch.zeros_like(x)
        padded[:, top : top + small.shape[1], left : left + small.shape[2]] = small
        x = mask * padded + (1 - mask) * x
    return x


def enlarge(coarse, p, top, left, height, width):
    """Every fine cell is the mean, over its own area, of the parabolas of its coarse cell in both directions.

    Coarse cell (i, j) is at top + p i, left + p j; beyond the coarse image its edge goes on.
    """

    def parts(cells):  # five cells; the fine cells in the middle one, by Simpson's rule, which is exact for parabolas
        before, after = ((7 * (cells[k] + cells[k + 1]) - cells[k - 1] - cells[k + 2]) / 12 for k in (1, 2))
        bend = 6 * (cells[2] - (before + after) / 2)
        values = [before + x * (after - before + bend * (1 - x)) for x in (k / (2 * p) for k in range(2 * p + 1))]
        return [(values[2 * k] + 4 * values[2 * k + 1] + values[2 * k + 2]) / 6 for k in range(p)]

    def column(rows, start, length):
        out = []
        for y in range(length):
            cell, part = divmod(y - start, p)
            out.append(parts([rows[min(max(cell + k, 0), len(rows) - 1)] for k in (-2, -1, 0, 1, 2)])[part])
        return out

    rows = torch.stack(column(list(coarse.unbind(1)), top, height), 1)
    return torch.stack(column(list(rows.unbind(2)), left, width), 2)


def inwards(height, width, feather):
    """1, and towards the border a smoothstep of the distance over `feather` sides."""
    out = torch.ones(height, width, dtype=torch.float64)
    for i, j in product(range(height), range(width)):
        y, x = min(i + 0.5, height - i - 0.5) / height, min(j + 0.5, width - j - 0.5) / width
        if min(y, x) < feather:
            t = min(y, x) / feather
            out[i, j] = 3 * t**2 - 2 * t**3
    return out


def blend(observations, level, p, ways, feather=1 / 8, decoded=False):
    """Section 4.2 for one layer, every observation enlarged to full size and analysed on its own.

    `ways[k]` says where, on level i - k - 1, the whole cells lie that level i covers (top, left, height, width), and
    the same cells on the image of the step before. Observation i weighs `inwards` in all bands but its finest. If
    `decoded`, it takes the place of every other in that one's finest band, unless that holds all coarser ones as well.
    """
    steps = min(level + (decoded and level > 0), len(ways))
    sizes = [observations[level].shape[1:]] + [way.outer[2:] for way in ways[:steps]]
    total, weights = [0.0] * (steps + 1), [0.0] * (steps + 1)
    for k in range(min(level, steps) + 1):
        image = observations[level - k]
        if k:
            top, left, height, width = ways[k - 1].outer
            image = image[:, top : top + height, left : left + width]
        for way, size in reversed(list(zip(ways[:k], sizes[:k], strict=True))):
            image = enlarge(image, p, way.inner.top, way.inner.left, *size)
        for band in range(steps + 1):
            coarse = None
            if band < steps:
                top, left, height, width = ways[band].inner
                coarse = shrink(image[:, top : top + height, left : left + width], p)
            if band >= k:
                weight = inwards(*sizes[band], feather) if k == 0 and band > 0 else 1.0
                if decoded and 0 < band < steps and k in (0, band):
                    instead = inwards(*sizes[band], feather)
                    weight = instead if k == 0 else 1 - instead
                rest = image if coarse is None else image - enlarge(coarse, p, top, left, *sizes[band])
                total[band] = total[band] + weight * rest
                weights[band] = weights[band] + weight
            image = coarse
    merged = total[steps] / weights[steps]
    for band in reversed(range(steps)):
        top, left, height, width = ways[band].inner
        mean = total[band] / weights[band]
        leaked = shrink(mean[:, top : top + height, left : left + width], p)  # by weights that vary from cell to cell
        merged = mean + enlarge(merged - leaked, p, top, left, *sizes[band])
    return merged


def zoom_step(z, sigma, sigma_next, denoisers, p, ways, noise):
    """One turn of Algorithm 2 of Generative Powers of Ten, in sigma space, for sizes that nest without rest.

    The DDPM update keeps the part (sigma_next / sigma)^2 of the noise and draws the rest from `noise`.
    """
    levels = range(len(z))
    denoised = [denoisers[i](z[i], sigma) for i in levels]
    layers = [blend(denoised, i, p, ways) for i in levels]
    up = (sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2) ** 0.5
    down = (sigma_next**2 - up**2) ** 0.5
    out = []
    for i in levels:
        x = render(layers, i, p, noise=False)
        out.append(x + down / sigma * (z[i] - x) + up * render(noise, i, p, noise=True))
    return out


def style_loss(activations, anchor):
    """Gatys et al. 2016, Eq. 3-5, equal w_l; for a picture and its anchor, each as a list of (N_l, h, w) by layer."""
    total = 0
    for f, p in zip(activations, anchor, strict=True):
        channels, places = f.shape[0], f.shape[1] * f.shape[2]
        f, p = f.reshape(channels, places), p.reshape(channels, places)
        squares = 0
        for i in range(channels):
            gram = (f[i] * f).sum(1)  # G_ij for all j
            gram_of_anchor = (p[i] * p).sum(1)
            squares = squares + ((gram - gram_of_anchor) ** 2).sum()
        total = total + squares / (4 * channels**2 * places**2) / len(activations)
    return total


def keys_cubic(t, a=-0.5):
    """Keys 1981, Eq. 4; torch's bicubic interpolation has a = -0.75."""
    t = abs(t)
    if t < 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0


def zoom_frame(levels, zoom, p, outer, inner, frame):
    """A zoom stack at a zoom, pixel by pixel: each pixel asks the levels where it lies on them, coarse to fine.

    `outer` and `inner` are where level i + 1 begins in level i, and what of it level i shows: row y of level i + 1 is
    row outer + (y - inner) / p of level i.
    """
    _, channels, *sides = levels.shape
    out = torch.empty(channels, *frame, dtype=levels.dtype)
    coarse = int(zoom)
    stay = [(p * o - i) / (p - 1) for o, i in zip(outer, inner, strict=True)]

    def place(pixel, axis, level):
        """On a level, in its cells. At zoom = level the frame is the level."""
        at = (pixel + 0.5) * sides[axis] / frame[axis]
        return stay[axis] + (at - stay[axis]) * p ** (level - zoom)

    def sample(level, at):
        weights = []
        for axis in (0, 1):
            step = max(sides[axis] / frame[axis] * p ** (level - zoom), 1)
            row = [keys_cubic((cell + 0.5 - at[axis]) / step) for cell in range(sides[axis])]
            weights.append(torch.tensor([w / sum(row) for w in row], dtype=levels.dtype))
        return torch.einsum("chw,h,w->c", levels[level], *weights)

    for pixel in product(*map(range, frame)):
        out[:, pixel[0], pixel[1]] = sample(coarse, [place(pixel[axis], axis, coarse) for axis in (0, 1)])
        if zoom == coarse:
            continue
        finer, opacity = coarse + 1, 1.0
        at = [place(pixel[axis], axis, finer) for axis in (0, 1)]
        ramps = [min((zoom - coarse) / 0.5, 1.0)]  # by scale
        for axis in (0, 1):  # by place, in the frame's sides
            length = p ** (zoom - finer)
            start = stay[axis] / sides[axis] * (1 - length)
            for distance, margin in ((at[axis], start), (sides[axis] - at[axis], 1 - start - length)):
                soft = min(margin, length / 4)
                ramps.append(min(max(distance / sides[axis] * length / soft, 0.0), 1.0))
        for t in ramps:
            opacity *= 3 * t**2 - 2 * t**3
        if opacity > 0:
            out[:, pixel[0], pixel[1]] += opacity * (sample(finer, at) - out[:, pixel[0], pixel[1]])
    return out


def relative_step(image, axis, place, cell, loop=False):
    """The step before row (axis 1) or column (axis 2) `place`, over the mean of those one and two cells away."""
    side = image.shape[axis]

    def step(place):
        differences = []
        for channel, along in product(range(image.shape[0]), range(image.shape[3 - axis])):
            line = image[channel, :, along] if axis == 1 else image[channel, along]
            differences.append(abs(line[place] - line[place - 1]))
        return sum(differences) / len(differences)

    others = [place + cells * cell for cells in (-2, -1, 1, 2)]
    near = [step(other % side) for other in others if 0 < (other % side if loop else other) < side]
    return step(place) / (sum(near) / len(near))


def gram_distance(one, other):
    """The second moments of the steps to the right and down, at four resolutions, compared by Frobenius norms."""
    total = 0.0
    for _ in range(4):
        grams = []
        for image in (one, other):
            channels, height, width = image.shape
            gram = torch.zeros(2 * channels, 2 * channels, dtype=image.dtype)
            for i, j in product(range(height - 1), range(width - 1)):
                here = image[:, i, j]
                steps = torch.cat([image[:, i, j + 1] - here, image[:, i + 1, j] - here])
                gram += steps[:, None] * steps[None] / ((height - 1) * (width - 1))
            grams.append(gram)
        norms = [(gram**2).sum() ** 0.5 for gram in grams]
        total += ((grams[0] - grams[1]) ** 2).sum() ** 0.5 / (sum(norms) / 2) / 4
        one, other = halve(one), halve(other)
    return total
