// Functions of the page for test_every_explorer.py; `stage` is the .vl-stage of an explorer.

window.move = (stage, x, y) => {
    const canvas = stage.querySelector('canvas'), box = canvas.getBoundingClientRect();
    const place = {clientX: box.left + x * box.width, clientY: box.top + y * box.height};
    canvas.dispatchEvent(new PointerEvent('pointermove', {...place, isPrimary: true, bubbles: true}));
    return {x: place.clientX, y: place.clientY, lit: stage.dataset.lit,
            says: stage.querySelector('.vl-tip').textContent, hand: canvas.style.cursor === 'pointer'};
};
window.leave = stage => stage.querySelector('canvas').dispatchEvent(new PointerEvent('pointerleave'));
// one place for each thing that lights up, of a fine net over the picture
window.things = stage => {
    const found = new Map();
    for (let i = 0; i < 48; i++) for (let j = 0; j < 32; j++) {
        const each = move(stage, (i + 0.5) / 48, (j + 0.5) / 32);
        if (each.lit !== '{}' && !found.has(each.lit)) found.set(each.lit, each);
    }
    leave(stage);
    return [...found.values()];
};
window.controlsOf = explorer => [...explorer.querySelectorAll(
    'a[href], button, input:not([type=file]), select, textarea, summary, [tabindex="0"], [contenteditable=true]')]
    .filter(each => !each.disabled && each.checkVisibility({visibilityProperty: true})
        && !each.closest('[disabled]') && each.tabIndex >= 0);
// what the controls are at: all that a move of one of them can change
window.settings = explorer => JSON.stringify([...explorer.querySelectorAll('.vl-controls *')].map(each =>
    [each.value, each.checked, each.getAttribute('aria-valuenow'), each.getAttribute('aria-pressed')]
        .filter(part => part != null).join()).filter(part => part));
window.shownShare = stage => {
    let {left, top, right, bottom, width, height} = stage.getBoundingClientRect();
    const clips = node => getComputedStyle(node).overflow !== 'visible' && node.clientHeight;
    for (let node = stage.parentElement; node; node = node.parentElement) {
        if (!clips(node)) continue;
        const box = node.getBoundingClientRect();
        [left, top] = [Math.max(left, box.left), Math.max(top, box.top)];
        [right, bottom] = [Math.min(right, box.right), Math.min(bottom, box.bottom)];
    }
    [right, bottom] = [Math.min(right, innerWidth), Math.min(bottom, innerHeight)];
    return Math.max(0, right - left) * Math.max(0, bottom - top) / (width * height);
};
// how many different pictures a canvas shows in two seconds, three at most
window.changes = async canvas => {
    const seen = new Set();
    for (let i = 0; i < 120 && seen.size < 3; i++) { seen.add(canvas.toDataURL()); await frames(1); }
    return seen.size;
};
// how much of the picture is in sight while each control has the focus, scrolled away before
window.sharesWithFocus = async explorer => {
    const stage = explorer.querySelector('.vl-stage'), shares = [];
    const panel = explorer.closest('.jp-WindowedPanel-outer');
    for (const control of controlsOf(explorer)) {
        document.activeElement.blur();
        panel.scrollTop += shares.length % 2 ? 250 : -250;
        control.focus();
        await frames(2);
        shares.push([control.ariaLabel || control.textContent || control.tagName, shownShare(stage)]);
    }
    return shares;
};
// how many things light up, how many say figures, and how many pixels more are lit by one of them
window.litUp = async stage => {
    const over = stage.querySelector('.vl-overlay');
    const lit = () => over.getContext('2d').getImageData(0, 0, over.width, over.height)
        .data.filter((part, i) => i % 4 === 3 && part).length;
    const all = things(stage), figures = all.filter(each => /\d/.test(each.says));
    if (!figures.length) return [all.length, 0, 0];
    const before = lit(), box = stage.getBoundingClientRect(), {x, y} = figures[0];
    move(stage, (x - box.left) / box.width, (y - box.top) / box.height);
    await frames(2);
    const shown = !stage.querySelector('.vl-tip').hidden, more = lit() - before;
    leave(stage);
    return [all.length, figures.length, shown ? more : -1];
};
window.frames = count => new Promise(done => {
    const next = () => count-- > 0 ? requestAnimationFrame(next) : done();
    next();
});
