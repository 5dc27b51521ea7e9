/** The graph library, which the replay finds in its import map. */
declare const vis: object;
export default vis;
