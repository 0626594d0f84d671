#!/usr/bin/env python3
"""The search page in a real Chromium, against a real server: page_test.py BINARY

Scenes are indexed by a model of a few training steps, beside a JPEG that its EXIF says to turn. Chromium resolves no
name, so whatever the page would ask of another machine fails and is found. After every test there must have been no such
request, no report of the Content-Security-Policy and nothing on the console.

Needs chromium, and playwright and axe-playwright-python for a Python named by OPENCLOC_PAGE_PYTHON (default: this one):
    python3 -m venv V && V/bin/pip install playwright axe-playwright-python && export OPENCLOC_PAGE_PYTHON=$PWD/V/bin/python
Without them it says so and is skipped. --pictures DIR INDEX writes the pictures of
docs/guide/server.md from an index of generated scenes.
"""
import base64
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

try:
    from playwright.sync_api import TimeoutError, expect, sync_playwright
except ImportError:
    sync_playwright = None

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77
TOO_LONG = 60000  # milliseconds
BINARY = ''
PICTURES = None
KEY = 'a-key-of-this-test-alone'
FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1']

# The turned picture: 300 x 200 as stored, black with a white rectangle, whose texts are no markup.
TURNED = (300, 200)
WHITE = (60, 40, 180, 120)
MARKUP = '<b>white</b><img src=x onerror=alert(1)>'

# Rectangles of things on the page, in CSS pixels: [left, top, right, bottom].
EDGES = 'e => { const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; }'
# The bright pixels of a picture.
BRIGHT = '''async ([address, left, top]) => {
  const image = new Image(); image.src = address; await image.decode();
  const canvas = document.createElement('canvas'); canvas.width = image.width; canvas.height = image.height;
  const context = canvas.getContext('2d'); context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, image.width, image.height);
  const box = [1e9, 1e9, -1, -1];
  for (let y = 0; y < image.height; ++y) for (let x = 0; x < image.width; ++x) if (data[4 * (y * image.width + x)] > 127) {
    box[0] = Math.min(box[0], x); box[1] = Math.min(box[1], y); box[2] = Math.max(box[2], x + 1); box[3] = Math.max(box[3], y + 1);
  }
  return [box[0] + left, box[1] + top, box[2] + left, box[3] + top];
}'''


def run(*command):
    result = subprocess.run([BINARY, *map(str, command)], capture_output=True, text=True)
    assert result.returncode == 0, f'{command}: {result.stderr}'
    return result.stdout


def turned_by_exif(jpeg):
    """The same JPEG with an EXIF part that says: turn me to the right by 90 degrees."""
    tiff = b'MM\0*\0\0\0\x08' + b'\0\x01' + b'\x01\x12\0\x03\0\0\0\x01\0\x06\0\0' + b'\0\0\0\0'
    part = b'Exif\0\0' + tiff
    return jpeg[:2] + b'\xff\xe1' + (len(part) + 2).to_bytes(2, 'big') + part + jpeg[2:]


def search_of(response):
    return response.url.endswith('/v1/search') and response.status == 200


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix='opencloc-page-'))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        expect.set_options(timeout=TOO_LONG)
        playwright = sync_playwright().start()
        cls.addClassCleanup(playwright.stop)
        cls.browser = playwright.chromium.launch(executable_path=shutil.which('chromium'), args=FLAGS)
        cls.addClassCleanup(cls.browser.close)
        cls.make_pictures()
        cls.make_indexes()
        cls.address = cls.start_server()

    @classmethod
    def make_pictures(cls):
        page = cls.browser.new_page()
        address = page.evaluate('''([[width, height], [x0, y0, x1, y1]]) => {
          const canvas = document.createElement('canvas'); canvas.width = width; canvas.height = height;
          const context = canvas.getContext('2d');
          context.fillRect(0, 0, width, height); context.fillStyle = '#fff'; context.fillRect(x0, y0, x1 - x0, y1 - y0);
          return canvas.toDataURL('image/jpeg', 0.95);
        }''', [TURNED, WHITE])
        page.close()
        cls.turned = cls.folder / 'turned.jpg'
        cls.turned.write_bytes(turned_by_exif(base64.b64decode(address.split(',')[1])))
        cls.white = [WHITE[0] / TURNED[0], WHITE[1] / TURNED[1], WHITE[2] / TURNED[0], WHITE[3] / TURNED[1]]

    @classmethod
    def make_indexes(cls):
        scenes, model = cls.folder / 'scenes', cls.folder / 'run/model'
        run('data', 'scenes', '--count', 36, '--size', 160, '--names', 12, '--seed', 5, '--out', scenes)
        run('train', '--data', scenes, '--model', 'ViT-Test', '--steps', 4, '--batch-size', 6, '--threads', 1, '--workers', 1,
            '--report-pictures', 0, '--seed', 3, '--out', cls.folder / 'run')
        run('index', 'add', cls.folder / 'scenes.idx', '--model', model, '--data', scenes)
        boxes = cls.folder / 'boxes.jsonl'
        boxes.write_text(json.dumps({'image': str(cls.turned), 'box': cls.white, 'text': MARKUP}) + '\n')
        run('index', 'add', cls.folder / 'turned.idx', '--model', model, '--images', cls.turned, '--boxes', boxes)

    @classmethod
    def start_server(cls, *more, indexes=('scenes', 'turned')):
        flags = [flag for name in indexes for flag in ('--index', f'{name}={cls.folder / name}.idx')]
        server = subprocess.Popen([BINARY, 'serve', '--port', '0', *flags, *more], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True)

        def stop():
            server.send_signal(signal.SIGTERM)
            server.wait()
            server.stdout.close()
        cls.addClassCleanup(stop)
        return server.stdout.readline().strip()

    # What every test begins and ends with.
    def setUp(self):
        self.expected_errors = []  # patterns of what may stand on the console
        self.asked, self.said = [], []
        self.page = self.new_page()

    def new_page(self, **settings):
        context = self.browser.new_context(viewport={'width': 1280, 'height': 900}, **settings) \
            if 'viewport' not in settings else self.browser.new_context(**settings)
        self.addCleanup(context.close)
        context.add_init_script('document.addEventListener("securitypolicyviolation", '
                                'e => console.error(`policy: ${e.violatedDirective} ${e.blockedURI}`))')
        context.on('request', lambda request: self.asked.append(request.url))
        page = context.new_page()
        page.set_default_timeout(TOO_LONG)
        page.on('console', lambda message: self.said.append(f'{message.type}: {message.text}'))
        page.on('pageerror', lambda error: self.said.append(f'error: {error}'))
        return page

    def tearDown(self):
        foreign = [url for url in self.asked if not url.startswith(('http://127.0.0.1:', 'blob:http://127.0.0.1:'))]
        self.assertEqual(foreign, [])
        said = [line for line in self.said if not any(re.search(known, line) for known in self.expected_errors)]
        self.assertEqual(said, [])

    def open(self, place='', page=None, cards=False):
        page = page or self.page
        page.goto(f'{self.address}/{place}')
        if cards:
            expect(page.locator('.card').first).to_be_visible()
        else:
            expect(page.locator('#status')).to_contain_text('Collection')
        return page

    def get(self, path):
        with urllib.request.urlopen(f'{self.address}/{path}') as answer:
            return json.load(answer)

    def post(self, path, body):
        request = urllib.request.Request(f'{self.address}/{path}', json.dumps(body).encode(), {'Content-Type': 'application/json'})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def search(self, act, page=None):
        """What was asked and answered by what `act` set off; the page shows it."""
        page = page or self.page
        with page.expect_response(search_of) as caught:
            act()
        answer = caught.value.json()
        self.check_cards(answer, page)
        return caught.value.request.post_data_json, answer

    def check_cards(self, answer, page):
        cards = page.locator('.card')
        expect(page.locator('#results')).not_to_have_attribute('aria-busy', 'true')
        expect(cards).to_have_count(len(answer['hits']))
        ids = cards.evaluate_all('cards => cards.map(card => card.dataset.id)')
        self.assertEqual(ids, [str(hit['id']) for hit in answer['hits']])
        for hit, text in zip(answer['hits'], cards.all_inner_texts()):
            self.assertIn(f"{hit['score']:.3f}", text)
            self.assertIn(f"z {hit['z']:.1f}", text)

    def assert_near(self, given, wanted, most=1.0):
        self.assertLessEqual(max(abs(a - b) for a, b in zip(given, wanted, strict=True)), most, f'{given} is not {wanted}')

    def assert_box(self, shape, image, box):
        """A box that is drawn lies within one CSS pixel of where the data says."""
        left, top, right, bottom = image.evaluate(EDGES)
        width, height = right - left, bottom - top
        self.assertGreater(width, 60)
        wanted = [left + box[0] * width, top + box[1] * height, left + box[2] * width, top + box[3] * height]
        self.assert_near(shape.evaluate(EDGES), wanted)

    def give_picture(self, page=None):
        page = page or self.page
        page.locator('#file').set_input_files(str(self.turned))
        expect(page.locator('#status')).to_contain_text('ready: 300 by 200')

    def at(self, x, y, page=None):
        """A place of the picture in CSS pixels."""
        left, top, right, bottom = (page or self.page).locator('#shown').evaluate(EDGES)
        return left + x * (right - left), top + y * (bottom - top)

    def drag(self, a, b):
        mouse = self.page.mouse
        mouse.move(*self.at(*a))
        mouse.down()
        mouse.move(*self.at((a[0] + b[0]) / 2, (a[1] + b[1]) / 2))
        mouse.move(*self.at(*b))
        mouse.up()

    # By mouse.
    def test_phrase(self):
        page = self.open()
        page.fill('#phrase', 'red car')
        body, answer = self.search(lambda: page.click('#ask [type=submit]'))
        self.assertEqual((body['text'], body['k'], body['index']), ('red car', 20, 'scenes'))
        self.assertTrue(answer['hits'])
        for card, hit in zip(page.locator('.card').all(), answer['hits']):
            card.scroll_into_view_if_needed()
            for region in [hit, *hit['regions']]:
                if region['region']:
                    shape = card.locator(f'[data-region="{region["region"]}"] .line')
                    self.assert_box(shape, card.locator('img'), region['box'])
            self.assertIn(hit['caption'], card.inner_text())
            page.wait_for_function('card => card.querySelector("img").naturalWidth > 0', arg=card.element_handle())
        # Back and forth.
        page.fill('#phrase', 'a squid')
        _, second = self.search(lambda: page.keyboard.press('Enter'))
        self.search(page.go_back)
        expect(page.locator('#phrase')).to_have_value('red car')
        _, again = self.search(page.reload)
        self.assertEqual([hit['id'] for hit in again['hits']], [hit['id'] for hit in answer['hits']])

    def test_box(self):
        page = self.open()
        self.give_picture()
        for act in (lambda: self.drag((0.2, 0.2), (0.6, 0.6)),            # a drag
                    lambda: self.drag((0.7, 0.7), (0.2, 0.2)),            # from the other corner
                    lambda: self.drag((0.699, 0.4), (0.6, 0.4))):         # the right side of the last
            act()
        self.assert_box(page.locator('#chosen-box .line'), page.locator('#shown'), [0.2, 0.2, 0.6, 0.7])
        body, answer = self.search(lambda: page.click('#search-region'))
        width = page.locator('#shown').evaluate('e => e.getBoundingClientRect().width')
        self.assert_near(body['prompt']['box'], [0.2, 0.2, 0.6, 0.7], 1.5 / width)
        self.assertTrue(body['scene'] in page.url and answer['hits'])
        # Two clicks, and undone.
        page.mouse.click(*self.at(0.1, 0.1))
        expect(page.locator('#status')).to_contain_text('First corner')
        page.mouse.click(*self.at(0.5, 0.9))
        self.assert_box(page.locator('#chosen-box .line'), page.locator('#shown'), [0.1, 0.1, 0.5, 0.9])
        page.click('#undo')
        self.assert_box(page.locator('#chosen-box .line'), page.locator('#shown'), [0.2, 0.2, 0.6, 0.7])
        page.click('#clear')
        expect(page.locator('#search-region')).to_be_disabled()
        body, _ = self.search(lambda: page.click('#search-whole'))
        self.assertTrue('prompt' not in body and body['scene'])

    def test_point_and_mask(self):
        page = self.open()
        self.give_picture()
        page.click('[data-tool=point]')
        page.mouse.click(*self.at(0.4, 0.4))
        body, _ = self.search(lambda: page.click('#search-region'))
        self.assert_near(body['prompt']['point'], [0.4, 0.4], 0.005)
        page.click('[data-tool=mask]')
        self.drag((0.25, 0.25), (0.55, 0.25))
        body, _ = self.search(lambda: page.click('#search-region'))
        mask = body['prompt']['mask']
        self.assertEqual(sum(mask['rle']), mask['width'] * mask['height'])
        cells = ''.join('01'[i % 2] * n for i, n in enumerate(mask['rle']))
        inside = lambda x, y: cells[int(y * mask['height']) * mask['width'] + int(x * mask['width'])]
        self.assertEqual([inside(0.25, 0.25), inside(0.4, 0.25), inside(0.55, 0.25), inside(0.7, 0.25), inside(0.4, 0.5)],
                         ['1', '1', '1', '0', '0'])
        again, _ = self.search(page.reload)  # the mask is in the address
        self.assertEqual(again['prompt'], body['prompt'])
        expect(page.locator('path.mask')).to_have_count(1)

    def test_pointing_by_a_phrase_and_naming(self):
        page = self.open()
        self.give_picture()
        page.fill('#part', 'a white box')
        with page.expect_response(lambda response: response.url.endswith('/ground')) as caught:
            page.click('#point-at button')
        found = caught.value.json()['data'][0]
        self.assert_box(page.locator('#chosen-box .line'), page.locator('#shown'), found['box'])
        body, _ = self.search(lambda: page.click('#search-region'))
        self.assertEqual(body['prompt'], {'text': 'a white box'})
        page.click('#naming summary')
        page.fill('#labels', 'squid, doughnut\nring')
        with page.expect_response(lambda response: response.url.endswith('/classify')) as caught:
            page.click('#name-it button')
        ranked = caught.value.json()['data'][0]['labels']
        self.assertEqual(len(ranked), 3)
        expect(page.locator('#ranked li')).to_have_text([f"{one['label']}, score {one['score']:.3f}" for one in ranked])

    def test_hit(self):
        page = self.open('#q=ring', cards=True)
        page.click('.card >> nth=1 >> .open')
        identity = page.locator('.card').nth(1).get_attribute('data-id')
        picture = self.get(f'v1/indexes/scenes/images/{identity}')
        shapes = page.locator('#stage [data-region]')
        expect(shapes).to_have_count(len(picture['regions']))
        self.assertTrue(picture['regions'])
        for region in picture['regions']:
            self.assert_box(page.locator(f'#stage [data-region="{region["region"]}"] .line'), page.locator('#shown'), region['box'])
        # A click in a region, and what is like it.
        region = picture['regions'][0]
        box = region['box']
        page.mouse.click(*self.at((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
        chosen = page.locator('#stage [data-region][aria-pressed=true]')
        expect(chosen).to_have_count(1)
        number = chosen.get_attribute('data-region')
        body, answer = self.search(lambda: page.click('#search-region'))
        self.assertEqual(body['id'], f'{identity}:{number}')
        self.assertEqual((str(answer['hits'][0]['id']), round(answer['hits'][0]['score'], 2)), (identity, 1.0))
        # A box of one's own on it.
        page.click('[data-tool=box]')
        self.drag((0.1, 0.1), (0.5, 0.5))
        body, _ = self.search(lambda: page.click('#search-region'))
        self.assertIn('box', body['prompt'])
        self.assertIn(f'on={identity}', page.url)
        page.click('#close')
        expect(page.locator('#picture')).to_be_hidden()

    def test_similar(self):
        page = self.open('#q=ring', cards=True)
        card = page.locator('.card').nth(2)
        identity = card.get_attribute('data-id')
        body, answer = self.search(lambda: card.locator('.bar a').last.click())
        self.assertEqual((body['id'], answer['unit']), (identity, 'image'))
        self.assertEqual(str(answer['hits'][0]['id']), identity)
        region = page.locator('.card .bar a', has_text='region').first
        body, answer = self.search(lambda: page.goto(f'{self.address}/#q=squid'))
        first = answer['hits'][0]
        body, answer = self.search(region.click)
        self.assertEqual((body['id'], answer['unit']), (f"{first['id']}:{first['region']}", 'region'))

    def test_options(self):
        page = self.open('#q=ring', cards=True)
        body, _ = self.search(lambda: page.select_option('#unit', 'image'))
        self.assertEqual(body['unit'], 'image')
        body, _ = self.search(lambda: page.uncheck('#fold'))
        self.assertFalse(body['deduplicate'])
        body, answer = self.search(lambda: page.fill('#k', '3'))
        self.assertEqual((body['k'], len(answer['hits'])), (3, 3))
        body, answer = self.search(lambda: page.click('#more'))
        self.assertEqual((body['k'], len(answer['hits'])), (23, 23))
        body, _ = self.search(lambda: page.select_option('#cut', 'auto'))
        self.assertEqual(body['cut'], 'auto')
        self.search(lambda: page.select_option('#cut', 'z'))
        body, answer = self.search(lambda: page.fill('#least', '15'))
        self.assertEqual((body['cut'], answer['hits']), (15, []))
        expect(page.locator('#summary')).to_contain_text('Nothing is found; 23 below the cut-off (z 15.0)')
        self.search(lambda: page.select_option('#cut', 's'))
        body, _ = self.search(lambda: page.fill('#least', '-0.1'))
        self.assertEqual(body['min_score'], -0.1)
        body, _ = self.search(lambda: page.select_option('#index', 'turned'))
        self.assertEqual(body['index'], 'turned')

    def test_json_and_curl(self):
        page = self.open()
        self.give_picture()
        self.drag((0.2, 0.2), (0.6, 0.6))
        _, answer = self.search(lambda: page.click('#search-region'))
        with page.expect_download() as download:
            page.click('#json')
        self.assertEqual(json.loads(pathlib.Path(download.value.path()).read_text()), answer)
        page.click('#curl')
        command = page.input_value('#command-text')
        if not shutil.which('curl'):
            self.skipTest('no curl here')
        said = subprocess.run(['bash', '-c', command], cwd=self.folder, capture_output=True, text=True, check=True).stdout
        self.assertEqual(json.loads(said.splitlines()[-1][said.splitlines()[-1].index('{"index"'):])['hits'], answer['hits'])

    def test_dropping_and_pasting(self):
        for kind in ('drop', 'paste'):
            page = self.open()
            page.evaluate('''([kind, bytes]) => {
              const data = new DataTransfer();
              data.items.add(new File([Uint8Array.from(atob(bytes), c => c.charCodeAt(0))], 'dropped.jpg', { type: 'image/jpeg' }));
              document.body.dispatchEvent(kind === 'drop'
                ? new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })
                : new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
            }''', [kind, base64.b64encode(self.turned.read_bytes()).decode()])
            expect(page.locator('#picture-name')).to_have_text('dropped.jpg')
            expect(page.locator('#status')).to_contain_text('300 by 200')

    # By keyboard alone.
    def test_keyboard_alone(self):
        page = self.open()
        press = page.keyboard.press

        def tab_to(selector):
            for _ in range(200):
                press('Tab')
                if page.evaluate('s => document.activeElement.matches(s)', selector):
                    return
            self.fail(f'Tab does not reach {selector}')

        # Phrase, hits, a hit.
        press('/')
        page.keyboard.type('a doughnut')
        _, answer = self.search(lambda: press('Enter'))
        tab_to('.card .open')
        press('ArrowRight')
        press('Enter')
        expect(page.locator('#stage')).to_be_focused()
        expect(page.locator('#stage [data-region]').first).to_be_visible()
        identity = str(answer['hits'][1]['id'])
        # A region of it by Tab, and what is like it.
        tab_to('#stage [data-region]')
        number = page.evaluate('document.activeElement.dataset.region')
        press(' ')
        body, _ = self.search(lambda: press('Enter'))
        self.assertEqual(body['id'], f'{identity}:{number}')
        # A box: the cursor is in the middle; Shift = 10 %.
        press('b')
        for key in ['Shift+ArrowLeft', 'Shift+ArrowLeft', 'ArrowUp', ' ', *['Shift+ArrowRight'] * 3, 'Shift+ArrowDown', 'ArrowDown', ' ']:
            press(key)
        self.assert_box(page.locator('#chosen-box .line'), page.locator('#shown'), [0.3, 0.49, 0.6, 0.6])
        body, _ = self.search(lambda: press('Enter'))
        self.assert_near(body['prompt']['box'], [0.3, 0.49, 0.6, 0.6], 1e-4)
        # Its sides as numbers; the picture is 160 pixels wide.
        tab_to('#sides input')
        press('Control+a')
        page.keyboard.type('16')
        press('Tab')
        self.assert_box(page.locator('#chosen-box .line'), page.locator('#shown'), [0.1, 0.49, 0.6, 0.6])
        # A point, a mask, gone again.
        press('Escape')
        expect(page.locator('#stage')).to_be_focused()
        press('Escape')
        expect(page.locator('#picture')).to_be_hidden()
        self.search(page.go_back)
        expect(page.locator('#stage')).to_be_focused()
        press('p')
        press('ArrowRight')
        press(' ')
        body, _ = self.search(lambda: press('Enter'))
        self.assert_near(body['prompt']['point'], [0.51, 0.5], 1e-4)
        press('m')
        for key in [' ', 'Shift+ArrowRight', ' ']:
            press(key)
        body, _ = self.search(lambda: press('Enter'))
        self.assertIn('mask', body['prompt'])
        press('Delete')
        expect(page.locator('path.mask')).to_have_count(0)
        press('Control+z')
        expect(page.locator('path.mask')).to_have_count(1)
        # Similar, from a card.
        tab_to('.card .open')
        first = page.evaluate('document.activeElement.closest(".card").dataset.id')
        body, _ = self.search(lambda: press('s'))
        self.assertTrue(str(body['id']).startswith(first))
        # A picture of one's own, a phrase that points into it, and the list of keys.
        with page.expect_file_chooser() as chooser:
            page.focus('#phrase')
            tab_to('#file')
            press('Enter')
        chooser.value.set_files(str(self.turned))
        expect(page.locator('#status')).to_contain_text('ready')
        press('t')
        expect(page.locator('#part')).to_be_focused()
        page.keyboard.type('white')
        press('Enter')
        expect(page.locator('#chosen-box')).to_have_count(1)
        tab_to('#stage, #search-region')
        press('?')
        expect(page.locator('#keys')).to_be_visible()
        press('Escape')
        expect(page.locator('#keys')).to_be_hidden()
        expect(page.locator('#picture')).to_be_visible()

    # By touch, on a small screen.
    def test_touch(self):
        page = self.new_page(viewport={'width': 360, 'height': 740}, has_touch=True, is_mobile=True)
        self.open(page=page)
        self.give_picture(page)
        page.locator('#stage').scroll_into_view_if_needed()
        touch = page.context.new_cdp_session(page)

        def finger(kind, *places):
            touch.send('Input.dispatchTouchEvent', {'type': kind, 'touchPoints': [{'x': x, 'y': y} for x, y in places]})

        page.evaluate('() => { window.taps = 0; addEventListener("click", () => ++window.taps, true); }')

        def tap(target):
            """On a machine with much to do a touch may take so long that it is no tap: then once more."""
            before = page.evaluate('window.taps')
            for _ in range(20):
                target.tap()
                try:
                    return page.wait_for_function('before => window.taps > before', arg=before, timeout=2000)
                except TimeoutError:
                    pass
            self.fail('no tap becomes a click')

        def stroke(a, b):
            finger('touchStart', self.at(*a, page))
            for i in range(1, 6):
                finger('touchMove', self.at(a[0] + (b[0] - a[0]) * i / 5, a[1] + (b[1] - a[1]) * i / 5, page))
            finger('touchEnd')
        stroke((0.2, 0.2), (0.6, 0.6))
        self.assert_box(page.locator('#chosen-box .line'), page.locator('#shown'), [0.2, 0.2, 0.6, 0.6])
        stroke((0.6, 0.4), (0.8, 0.4))  # its right side
        self.assert_box(page.locator('#chosen-box .line'), page.locator('#shown'), [0.2, 0.2, 0.8, 0.6])
        body, answer = self.search(lambda: tap(page.locator('#search-region')), page)
        self.assert_near(body['prompt']['box'], [0.2, 0.2, 0.8, 0.6], 0.005)
        tap(page.locator('[data-tool=point]'))
        page.touchscreen.tap(*self.at(0.5, 0.5, page))
        body, _ = self.search(lambda: tap(page.locator('#search-region')), page)
        self.assertIn('point', body['prompt'])
        page.fill('#phrase', 'ring')
        _, answer = self.search(lambda: tap(page.locator('#ask [type=submit]')), page)
        tap(page.locator('.card .open').first)
        region = self.get(f'v1/indexes/scenes/images/{answer["hits"][0]["id"]}')['regions'][0]
        expect(page.locator('#stage [data-region]').first).to_be_visible()
        page.locator('#stage').scroll_into_view_if_needed()
        box = region['box']
        page.touchscreen.tap(*self.at((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, page))
        expect(page.locator('#stage [aria-pressed=true]')).to_have_count(1)
        body, _ = self.search(lambda: tap(page.locator('#search-region')), page)
        self.assertTrue(body['id'].startswith(f'{answer["hits"][0]["id"]}:'))
        self.search(lambda: tap(page.locator('.card .bar a').last), page)
        self.assertEqual(page.evaluate('document.documentElement.scrollWidth'), 360)

    # What is shown.
    def bright(self, image):
        """The bright part of what is seen of an image, without the boxes, in CSS pixels of the window."""
        image.evaluate('e => { e.parentElement.querySelector(".overlay").style.visibility = "hidden"; }')
        left, top, right, bottom = image.evaluate(EDGES)
        clip = {'x': left, 'y': top, 'width': right - left, 'height': bottom - top}
        shot = self.page.screenshot(clip=clip)
        image.evaluate('e => { e.parentElement.querySelector(".overlay").style.visibility = ""; }')
        blank = self.browser.new_page()
        try:
            # A clip begins at a whole pixel.
            return blank.evaluate(BRIGHT, ['data:image/png;base64,' + base64.b64encode(shot).decode(), int(left), int(top)])
        finally:
            blank.close()

    def test_turned_by_exif(self):
        """Neither the browser nor we turn it: the box lies on the white rectangle, in the hit and in the picture."""
        page = self.open('#index=turned&q=white', cards=True)
        card = page.locator('.card')
        page.wait_for_function('() => document.querySelector(".card img").naturalWidth > 0')
        self.assertEqual(page.evaluate('[...document.querySelectorAll(".card img")].map(e => [e.naturalWidth, e.naturalHeight])'),
                         [list(TURNED)])
        line = card.locator('[data-region="1"] .line')
        self.assert_box(line, card.locator('img'), self.white)
        self.assert_near(self.bright(card.locator('img')), line.evaluate(EDGES))
        card.locator('.open').click()
        page.wait_for_function('() => document.querySelector("#shown").naturalWidth > 0')
        line = page.locator('#stage [data-region="1"] .line')
        self.assert_box(line, page.locator('#shown'), self.white)
        self.assert_near(self.bright(page.locator('#shown')), line.evaluate(EDGES))
        # And what one gives.
        self.open()
        self.give_picture()
        page.wait_for_function('() => document.querySelector("#shown").naturalWidth > 0')
        left, top = self.at(self.white[0], self.white[1])
        right, bottom = self.at(self.white[2], self.white[3])
        self.assert_near(self.bright(page.locator('#shown')), [left, top, right, bottom])
        # Texts are texts.
        self.open('#index=turned&q=white', cards=True)
        self.assertIn(MARKUP, card.inner_text())

    def test_every_size(self):
        """400 % of a window of 1280 x 1024, and a small telephone: nothing lies beside the window."""
        for width, height in ((320, 256), (360, 740), (800, 600)):
            page = self.new_page(viewport={'width': width, 'height': height})
            self.open('#q=ring&show=1', page, cards=True)
            expect(page.locator('#stage [data-region]').first).to_be_visible()
            self.assertEqual(page.evaluate('document.documentElement.scrollWidth'), width)

    def test_zoom(self):
        page = self.open('#show=1')
        page.focus('#stage')
        before = page.locator('#shown').evaluate('e => e.getBoundingClientRect().width')
        page.keyboard.press('+')
        region = self.get('v1/indexes/scenes/images/1')['regions'][0]
        self.assert_box(page.locator(f'#stage [data-region="{region["region"]}"] .line'), page.locator('#shown'), region['box'])
        self.assertGreater(page.locator('#shown').evaluate('e => e.getBoundingClientRect().width'), 1.4 * before)
        page.keyboard.press('0')
        self.assert_near([page.locator('#shown').evaluate('e => e.getBoundingClientRect().width')], [before])

    def test_accessibility(self):
        import axe_playwright_python
        script = (pathlib.Path(axe_playwright_python.__file__).parent / 'axe.min.js').read_text()
        for scheme in ('light', 'dark'):
            page = self.new_page(color_scheme=scheme, reduced_motion='reduce')
            for place, dialog in (('', None), ('#q=ring', None), ('#q=ring&show=1', None), ('#q=ring&cut=z5', '#show-keys')):
                self.open()
                page.goto('about:blank')
                page.goto(f'{self.address}/{place}')
                if place:
                    expect(page.locator('#summary')).to_contain_text('compared')
                if 'show' in place:
                    expect(page.locator('#stage [data-region]').first).to_be_visible()
                    page.evaluate('document.querySelectorAll("details").forEach(e => { e.open = true; })')
                if dialog:
                    page.click(dialog)
                page.evaluate(script)
                result = page.evaluate('axe.run()')
                self.assertGreater(len(result['passes']), 15)
                found = [(v['id'], v['impact'], v['nodes'][0]['html']) for v in result['violations']]
                self.assertEqual(found, [], f'{scheme} {place}')

    # What goes wrong.
    def test_busy_server(self):
        self.expected_errors = ['429']
        page = self.open()
        times = []

        def busy_once(route):
            times.append(1)
            if len(times) > 1:
                return route.continue_()
            route.fulfill(status=429, headers={'Retry-After': '1'}, json={'error': {'message': 'come again'}})
        page.route('**/v1/search', busy_once)
        page.fill('#phrase', 'ring')
        self.search(lambda: page.keyboard.press('Enter'))
        self.assertEqual(len(times), 2)

    def test_errors_in_words(self):
        self.expected_errors = ['Failed to load resource']
        page = self.open()
        page.locator('#file').set_input_files({'name': 'x.jpg', 'mimeType': 'image/jpeg', 'buffer': b'no picture at all'})
        expect(page.locator('#error')).to_be_visible()
        self.assertGreater(len(page.locator('#error').inner_text()), 15)
        page.fill('#phrase', 'ring')
        self.search(lambda: page.keyboard.press('Enter'))
        expect(page.locator('#error')).to_be_hidden()
        # A scene that the server has dropped and this page never had.
        page.goto('about:blank')
        page.goto(f'{self.address}/#on=s{"0" * 64}&box=0.1,0.1,0.5,0.5')
        expect(page.locator('#error')).to_contain_text('give it again')
        page.goto('about:blank')
        page.goto(f'{self.address}/#show=987654')
        expect(page.locator('#error')).to_contain_text('no picture of this id')

    def test_scene_that_was_dropped_is_sent_again(self):
        self.expected_errors = ['404']
        page = self.open()
        self.give_picture()
        self.drag((0.2, 0.2), (0.6, 0.6))
        times = []

        def gone_once(route):
            times.append(1)
            if len(times) > 1:
                return route.continue_()
            route.fulfill(status=404, json={'error': {'message': 'there is no such scene'}})
        page.route('**/v1/search', gone_once)
        with page.expect_request(lambda request: request.url.endswith('/v1/scenes')):
            self.search(lambda: page.click('#search-region'))
        self.assertEqual(len(times), 2)

    def test_key(self):
        self.expected_errors = ['401']
        keys = self.folder / 'keys.txt'
        keys.write_text(KEY + '\n')
        keys.chmod(0o600)
        server = self.start_server('--api-key-file', str(keys))
        page = self.page
        page.goto(f'{server}/#q=ring')
        expect(page.locator('#ask-key')).to_be_visible()
        page.keyboard.type(KEY)
        self.search(lambda: page.keyboard.press('Enter'))
        page.wait_for_function('() => document.querySelector(".card img").naturalWidth > 0')
        page.click('#curl')
        self.assertNotIn(KEY, page.input_value('#command-text'))

    # How it is delivered.
    def test_delivery(self):
        sizes = {}
        for file in sorted((ROOT / 'web').iterdir()):
            with urllib.request.urlopen(f'{self.address}/{file.name}') as answer:
                body, headers = answer.read(), answer.headers
            self.assertEqual(body, file.read_bytes())
            sizes[file.name] = len(body)
            policy = headers['Content-Security-Policy']
            self.assertIn("default-src 'none'", policy)
            self.assertIn("require-trusted-types-for 'script'", policy)
            self.assertNotIn('unsafe', policy)
            self.assertEqual(headers['X-Content-Type-Options'], 'nosniff')
            request = urllib.request.Request(f'{self.address}/{file.name}', headers={'If-None-Match': headers['ETag']})
            with self.assertRaises(urllib.error.HTTPError) as unchanged:
                urllib.request.urlopen(request)
            self.assertEqual(unchanged.exception.code, 304)
            unchanged.exception.close()
        self.assertLess(sum(sizes.values()), 60000, sizes)

    def pictures(self):
        """Not a test: --pictures."""
        folder, index = PICTURES
        address = self.start_server('--index', f'guide={index}', indexes=())
        page = self.new_page(viewport={'width': 1100, 'height': 720})

        def shoot(name):
            page.wait_for_function('() => [...document.querySelectorAll(".card img")].slice(0, 3).every(e => e.naturalWidth > 0)')
            page.evaluate('scrollTo(0, 0)')
            page.screenshot(path=pathlib.Path(folder, name))
        page.goto(f'{address}/#index=guide&q=a+crystal+ball&k=8')
        expect(page.locator('.card').first).to_be_visible()
        shoot('page_hits.png')
        page.locator('.card .open').first.click()
        expect(page.locator('#stage [data-region]').first).to_be_visible()
        region = page.locator('#stage .best .line').evaluate(EDGES)
        page.click('[data-tool=box]')
        page.mouse.move(region[0] + 3, region[1] + 3)
        page.mouse.down()
        page.mouse.move(region[2] - 3, region[3] - 3)
        page.mouse.up()
        self.search(lambda: page.click('#search-region'), page)
        shoot('page_region.png')


def skip(reason):
    """Says so, also to tools/tally_tests."""
    print(f'page_test: skipped: {reason}')
    results = os.environ.get('GTEST_OUTPUT', '')
    if results.startswith('xml:') and results.endswith('/'):
        pathlib.Path(results[4:], 'page_test.xml').write_text(
            f'<testcase name="all" result="skipped" classname="page">\n<skipped message="{reason}"/>\n</testcase>\n')
    sys.exit(SKIPPED)


if __name__ == '__main__':
    python = os.environ.get('OPENCLOC_PAGE_PYTHON')
    if python and os.path.abspath(python) != os.path.abspath(sys.executable):
        os.execv(python, [python, *sys.argv])
    if sync_playwright is None:
        skip('no playwright here (pip install playwright axe-playwright-python)')
    if not shutil.which('chromium'):
        skip('no chromium here (apt install chromium)')
    BINARY = os.path.abspath(sys.argv.pop(1))
    if '--pictures' in sys.argv:
        PICTURES = sys.argv[-2:]
        sys.argv[-3:] = ['Page.pictures']
    unittest.main()
